"""Documents and tokens: training text is what `core.prompts` makes, and every answer is a target."""

import pytest

from hydra_ray.core.prompts import answer_prompt, summary_prompt
from hydra_ray.core.tasks import load_task
from hydra_ray.core.types import HistoryItem
from hydra_ray.synth.world import make_user
from hydra_ray.tiny_llm.corpus import NAMESPACE, documents, record
from hydra_ray.tiny_llm.sequence import BUDGET, IGNORE, answer_document, favourites, summary_document, tokenise
from tests.tiny_llm.documents import CONFIG, STAGE


def test_prompts_are_those_of_the_pipeline() -> None:
    task = load_task("synthetic_tagging")
    user = make_user("tagging", 0, 0, (4, 4), 1, NAMESPACE)
    items, query = [record(i) for i in user.items], record(user.questions[0])
    document = answer_document(task, query, items)
    assert document.prompt == answer_prompt(task, query.text, items, BUDGET).messages[0]["content"]
    assert document.answer == f" {query.answer}"
    document = summary_document(task, items)
    assert document.prompt == summary_prompt(task, items, BUDGET).messages[0]["content"]
    assert document.answer.startswith(" answers: ")


def test_favourites() -> None:
    task = load_task("synthetic_tagging")
    items = [HistoryItem(str(i), "t", "t", answer) for i, answer in enumerate("bcabad")]
    assert favourites(task, items) == "answers: a, b, d"
    assert favourites(load_task("synthetic_headline"), items) == "d"


@pytest.mark.parametrize("task", ["tagging", "rating", "headline"])
def test_every_answer_is_a_target_and_ends(task: str, tokenizer: object) -> None:
    config = CONFIG.model_copy(update={"tasks": {task: 1.0}, "zero_examples": 0.0, "summaries": 0.0})
    docs = documents(config, STAGE, 0, 1500)
    for document, tokens in zip(docs, tokenise(docs, tokenizer, 2048), strict=True):
        assert len(tokens.asks) == len(tokens.tells) == len(document.hints) == 4
        label = tokens.ids[tokens.asks[0]]
        assert all(tokens.ids[ask] == label for ask in tokens.asks)
        spoken = []
        for ask, tell in zip(tokens.asks, tokens.tells, strict=True):
            assert tokens.targets[tell] == tokenizer.eos_token_id  # type: ignore[attr-defined]
            assert tokens.targets[ask:tell] == tokens.ids[ask + 1 : tell + 1]
            assert all(tokens.is_answer[ask : tell + 1])
            spoken.append(tokenizer.decode(tokens.targets[ask:tell]))  # type: ignore[attr-defined]
        assert spoken[-1] == document.answer
        start = f"{document.label}: "
        told = [line.removeprefix(start) for line in document.prompt.splitlines() if line.startswith(start)]
        assert [s.strip() for s in spoken[:-1]] == told
        assert sum(tokens.is_answer) == sum(t - a + 1 for a, t in zip(tokens.asks, tokens.tells, strict=True))


def test_a_cut_document_has_fewer_answers(tokenizer: object) -> None:
    config = CONFIG.model_copy(update={"tasks": {"tagging": 1.0}, "zero_examples": 0.0, "summaries": 0.0})
    docs = documents(config, STAGE, 0, 1500)
    for tokens in tokenise(docs, tokenizer, 100):
        assert len(tokens.ids) == len(tokens.targets) == 100
        assert 1 <= len(tokens.asks) < 4
        assert tokens.targets[-1] == IGNORE or tokens.is_answer[-1]


def test_chat_template_is_the_message_alone(tokenizer: object) -> None:
    document = documents(CONFIG, STAGE, 3, 500)[0]
    chat = [{"role": "user", "content": document.prompt}]
    shown = tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]  # type: ignore[attr-defined]
    trained = tokenise([document], tokenizer, 2048)[0].ids
    assert trained[: len(shown)] == shown
