"""What a method is: a row of the result table, with its calls of the LLM and the choice of its answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from hydra_ray.config import AdapterConfig, Config
from hydra_ray.core.features import AnswerCounts
from hydra_ray.core.prompts import Prompt
from hydra_ray.core.queries import Query
from hydra_ray.core.retrieval import RetrieverKind
from hydra_ray.core.tasks import Task
from hydra_ray.core.types import HistoryItem
from hydra_ray.llm.types import Request
from hydra_ray.methods.training import MethodTraining
from hydra_ray.registries import METHODS

Group = Literal["trains nothing", "others that train", "ours"]
"""What a method's training costs; the groups of the result table."""
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
        query: The question, with the history that existed when it was asked, oldest first.
        summary: Of the history, by the LLM; "" for methods that do not read it.
        config: Of the run.
    """

    task: Task
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

    def greedy(self, examples: Sequence[HistoryItem] = (), summary: str = "") -> Call:
        """One answer at temperature 0. examples: best first."""
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
        adapter: The configuration of the adapter.
    """

    task: Task
    text: str
    history: Sequence[str]
    answer_counts: AnswerCounts
    adapter: AdapterConfig

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


@dataclass(frozen=True, slots=True)
class TrainingCalls:
    """What the LLM is asked about the training users' queries for a method that learns from the answers.

    Attributes:
        name: Methods whose calls have the same name share one step. It is what the step is called in the report.
        calls: Name -> call of each query, for one text each, always in the same order.
        retrievers: Those that the calls name in `QuestionContext.retrieve`, as `Method.retrievers`.
        reads: What else of the configuration decides which calls are made, as plain values.
    """

    name: str
    calls: Callable[[QuestionContext], Mapping[str, Call]]
    retrievers: Callable[[Config], tuple[str, ...]] = lambda config: ()
    reads: Callable[[Config], Mapping[str, Any]] = lambda config: {}


@dataclass(frozen=True, slots=True)
class Method:
    """A row of the result table.

    Attributes:
        title: In the report's charts.
        about: One line for a reader.
        calls: What the LLM is asked: name of the call -> the call (see SAMPLES for the names). Methods of one run may
            share calls, by equal names.
        answer: The answer of a question, as the LLM wrote it; None if there is none.
        candidates: The distinct texts that `answer` chooses among; None: it does not choose.
        group: What its training costs.
        summary: Whether its prompts show the summary of the history.
        retrievers: Those that it names in `QuestionContext.retrieve`, where they read more than the history's texts: an
            encoder or a ranking, which are part of the address of its step.
        rerankers: Those that pick its examples.
        adapter: The one that it chooses by; None: it uses none.
        always: Whether a run shows it unasked; the others stand in `evaluate.methods`.
        train: Learns from the training users, in the run's own process, in a step of its own before `calls` and
            `answer` run on the cluster's workers; None: there is nothing to learn. Not with `always`.
        reads_feedback: Whether `train` reads `MethodTraining.feedback`.
        asks: What the LLM is asked about the training users' queries, for `MethodTraining.answered`; None: nothing.
        builds_on: Other methods whose `train` this one uses (`QuestionContext.trained_by`). Its `asks` are then about
            training users whom those have not learned from.
        reads_prompts: Whether `answer` reads `AnsweredQuestion.prompt`.
        trained_as: Methods of the same name here share what one `train` learns; "": it is the method's own.
        train_reads: What `train` reads of the configuration, as plain values: where it changes, the training is done
            anew. None: nothing but the task.
    """

    title: str
    about: str
    calls: Callable[[QuestionContext], Mapping[str, Call]]
    answer: Callable[[AnsweredQuestion], str | None]
    candidates: Callable[[AnsweredQuestion], Sequence[str]] | None = None
    group: Group = "trains nothing"
    summary: bool = False
    retrievers: tuple[str, ...] = ()
    rerankers: tuple[Reranker, ...] = ()
    adapter: Adapter | None = None
    always: bool = False
    train: Callable[[MethodTraining], None] | None = None
    reads_feedback: bool = False
    asks: TrainingCalls | None = None
    builds_on: Callable[[Config], tuple[str, ...]] = lambda config: ()
    reads_prompts: bool = False
    trained_as: str = ""
    train_reads: Callable[[Config], Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        if self.train and self.always:
            raise ValueError(f"{self.title}: a method that trains cannot be one that every run shows")
        if self.asks and not self.train:
            raise ValueError(f"{self.title}: a method that asks about training users needs a `train` to learn from it")


def one_answer(
    name: str,
    title: str,
    about: str,
    ask: Callable[[QuestionContext], Call],
    *,
    group: Group = "trains nothing",
    summary: bool = False,
    retrievers: tuple[str, ...] = (),
    rerankers: tuple[Reranker, ...] = (),
    always: bool = False,
) -> Method:
    """A method that asks once, at temperature 0, and answers what comes back. ask: makes the call."""
    call = f"greedy:{name}"
    return Method(
        title,
        about,
        lambda question: {call: ask(question)},
        lambda question: next(iter(question.texts(call)), None),
        group=group,
        summary=summary,
        retrievers=retrievers,
        rerankers=rerankers,
        always=always,
    )


def method_named(name: str) -> Method:
    """A registered method. Raises UserError if there is none of this name."""
    found: Method = METHODS.get(name)
    return found
