"""How the LLM is asked: samples and greedy answers, as the config and the request say."""

from hydra_ray.config import Config
from hydra_ray.core.queries import make_query
from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.prompt_builder import PromptBuilder
from hydra_ray.inference.reranking import rank

ITEMS = [HistoryItem(str(i), f"note {i}", f"note {i}", "dune") for i in range(6)]


def builder(**changes: object) -> PromptBuilder:
    return PromptBuilder(Config.model_validate(changes), 0)


def test_the_prompt_shows_the_chosen_examples_best_last() -> None:
    made = builder(retrieval={"top_n": 4}, reranker={"top_k": 2})
    examples = made.examples(rank(ITEMS, [0.0, 1.0, 2.0, 3.0, 9.0, 9.0]))
    assert examples == [ITEMS[3], ITEMS[2]]
    content = made.prompt(make_query("Frost on the reeds."), examples).messages[-1]["content"]
    assert content.index("note 2") < content.index("note 3") < content.index("Frost on the reeds.")


def test_samples_are_as_many_as_the_adapter_reads_unless_more_answers_are_wanted() -> None:
    made = builder(adapter={"num_samples": 4, "temperature": 0.7})
    prompt = made.prompt(make_query("Frost."), [])
    request = made.samples(prompt, made.task, 5)
    assert (request.n, request.temperature, request.seed) == (4, 0.7, 5)
    assert request.max_tokens == made.task.max_answer_tokens
    assert request.messages == prompt.messages
    more = made.samples(prompt, made.task, None, n=6, temperature=0.0, max_tokens=3)
    assert (more.n, more.temperature, more.seed, more.max_tokens) == (6, 0.0, None, 3)
    assert made.samples(prompt, made.task, None, n=2).n == 4


def test_a_greedy_answer_is_one_at_temperature_0() -> None:
    made = builder()
    request = made.greedy(made.prompt(make_query("Frost."), []), made.task)
    assert (request.n, request.temperature, request.seed, request.max_tokens) == (1, 0.0, None, 6)
    assert made.greedy(made.prompt(make_query("Frost."), []), made.task, 7).max_tokens == 7
