"""An evaluated question as methods see it, before the LLM is asked and after it has answered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from hydra_ray.config import Config
from hydra_ray.core.features import AnswerCounts
from hydra_ray.core.prompts import Prompt
from hydra_ray.core.queries import Query
from hydra_ray.core.retrieval import RetrieverKind
from hydra_ray.core.tasks import Task
from hydra_ray.core.types import HistoryItem
from hydra_ray.llm.types import Request

Reranker = Literal["hydra", "shared"]
"""The trained reranker, with the users' own heads or with the shared one."""
Adapter = Literal["hydra", "shared", "paper", "unguarded"]
"""The trained adapter: with the users' own heads, with the shared head, as published, with heads that no guard takes
back."""

SAMPLES = "samples:"
"""How the names of calls for `adapter.num_samples` texts begin; all others are for one."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request, and the prompt that it was made of."""

    prompt: Prompt
    request: Request


class QuestionContext(Protocol):
    """A question that is to be asked.

    Attributes:
        task: What is asked.
        user_id: Who asks.
        query: The question, with the history that existed when it was asked, oldest first.
        summary: Of the history, by the LLM; in training, of what all questions of the user see. "" for methods that do
            not read it.
        config: Of the run.
    """

    task: Task
    user_id: str
    query: Query
    summary: str
    config: Config

    @property
    def trained(self) -> Path:
        """The folder that the method's `train` wrote."""
        ...

    def trained_by(self, method: str) -> Path:
        """The folder that the `train` of another method wrote, one of `Method.builds_on`."""
        ...

    def pick(self, calls: Sequence[Call], place: Callable[[Sequence[Call]], int]) -> Call:
        """The call at the place that a trained model gives; a dry run, which has none, takes the longest."""
        ...

    def retrieve(self, method: str | RetrieverKind, n: int) -> Sequence[HistoryItem]:
        """The n best history items, best first. method: a retriever as `retrieval.method` names it, or one that has no
        name, such as a method that trains has learned."""
        ...

    def rerank(self, reranker: Reranker) -> Sequence[HistoryItem]:
        """The examples that a reranker picks among what `retrieval.method` finds, best first."""
        ...

    def greedy(
        self, examples: Sequence[HistoryItem] = (), summary: str = "", lora: Callable[[], Path | None] | None = None
    ) -> Call:
        """One answer at temperature 0. examples: best first. lora: gives the folder of the LoRA that answers, or
        None for the LLM alone; a dry run does not ask for it."""
        ...

    def samples(self, examples: Sequence[HistoryItem] = ()) -> Call:
        """`adapter.num_samples` samples, one seed a question in all methods: the same draws from equal prompts."""
        ...


class AnsweredQuestion(Protocol):
    """A question with the LLM's answers to the method's calls.

    Attributes:
        task: What was asked.
        text: The question.
        history: The answers of the user's history, oldest first.
        answer_counts: How often the user gave each answer.
        config: Of the run.
    """

    task: Task
    text: str
    history: Sequence[str]
    answer_counts: AnswerCounts
    config: Config

    @property
    def trained(self) -> Path:
        """The folder that the method's `train` wrote."""
        ...

    def texts(self, call: str) -> Sequence[str]:
        """What came back for a call; fewer texts than were asked for, or none, where the LLM refused.

        The method counts as lacking an answer here if a call that it reads came back short.
        """
        ...

    def prompt(self, call: str) -> str:
        """What a call has asked; for methods with `reads_prompts`."""
        ...

    def candidates(self, samples: str, adapter: Adapter) -> Sequence[str]:
        """The distinct texts that an adapter chooses among, after a call for samples."""
        ...

    def choose(self, samples: str, adapter: Adapter) -> str | None:
        """The text among `candidates` that an adapter chooses; None without any."""
        ...
