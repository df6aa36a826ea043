"""What the LLM is asked: the prompt of a query with its examples, and how to sample from it. Pure."""

from collections.abc import Sequence

from hydra_ray.config import Config
from hydra_ray.core.lamp_prompts import lamp_head, lamp_prompt
from hydra_ray.core.prompts import Prompt, answer_prompt
from hydra_ray.core.queries import Query
from hydra_ray.core.stand_in_queries import shown_items, task_of
from hydra_ray.core.tasks import Task, load_task
from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.reranking import RankedItem, choose_examples
from hydra_ray.llm.token_budget import prompt_budget
from hydra_ray.llm.types import Request


class PromptBuilder:
    """The prompts of one run's task.

    Attributes:
        config: Of the run.
        task: What is asked.
        seed: Of the training whose prompts these are.
        budget: How many tokens a prompt may have.
        feature_items: Items to retrieve for a query: N that may be shown, and those after them that may speak for an
            answer.
    """

    def __init__(self, config: Config, seed: int) -> None:
        """Raises UserError if the task does not fit the prompt layout or the LLM's window."""
        self.config, self.seed = config, seed
        self.task = load_task(config.data.task)
        self.budget = prompt_budget(config.llm, self.task)
        # Generation compares every supporting item with every candidate word by word: N are dear enough.
        n = config.retrieval.top_n
        self.feature_items = n if not self.task.closed else config.adapter.items_retrieved(n)

    def task_of(self, query: Query) -> Task:
        """The task of a query: the stand-in's for items that carry no answer."""
        return task_of(self.task, query.query_id) if query.pseudo else self.task

    def examples(self, ranked: Sequence[RankedItem]) -> list[HistoryItem]:
        """The k items that the prompt shows, best first."""
        return choose_examples(ranked, self.config.retrieval.top_n, self.config.reranker.top_k)

    def prompt(self, query: Query, examples: Sequence[HistoryItem], summary: str = "") -> Prompt:
        """The prompt that asks a query, in the layout of `llm.prompt`.

        Args:
            query: What is asked.
            examples: Best first.
            summary: Of the user's profile, "" for none.
        """
        task = self.task_of(query)
        shown = list(examples) if task is self.task else shown_items(self.task, list(examples))
        if self.config.llm.prompt == "lamp":
            head = query.head or (lamp_head(task) if task is self.task else f"{task.instruction} ")
            return lamp_prompt(task, head, query.text, shown, self.budget, summary)
        return answer_prompt(task, query.text, shown, self.budget, summary)

    def greedy(self, prompt: Prompt, task: Task, max_tokens: int | None = None) -> Request:
        """One answer at temperature 0, of at most so many tokens (default: the task's)."""
        return Request(prompt.messages, 0.0, 1, max_tokens or task.max_answer_tokens, fallbacks=prompt.fallbacks)

    def samples(
        self,
        prompt: Prompt,
        task: Task,
        seed: int | None,
        *,
        n: int = 1,
        temperature: float | None = None,
        max_tokens: int | None = None,
    ) -> Request:
        """The samples that candidates are made of.

        Args:
            prompt: What is asked.
            task: Of the query.
            seed: Of the draw; None leaves it to the server.
            n: Answers wanted: `adapter.num_samples` samples are drawn in any case.
            temperature: Default `adapter.temperature`.
            max_tokens: Longest answer; default: the task's.
        """
        adapter = self.config.adapter
        return Request(
            prompt.messages,
            adapter.temperature if temperature is None else temperature,
            max(adapter.num_samples, n),
            max_tokens or task.max_answer_tokens,
            seed,
            prompt.fallbacks,
        )
