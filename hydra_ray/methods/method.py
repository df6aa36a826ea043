"""What a method is: a row of the result table, with its calls of the LLM and the choice of its answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hydra_ray.config import Config
from hydra_ray.methods.question import Adapter, AnsweredQuestion, Call, QuestionContext, Reranker
from hydra_ray.methods.training import MethodTraining
from hydra_ray.registries import METHODS

Group = Literal["trains nothing", "others that train", "trains the LLM", "ours"]
"""What a method's training costs; the groups of the result table."""


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
        summary: Whether its prompts show the summary of the history: the question's, or in training the user's.
        retrievers: Those that it names in `QuestionContext.retrieve`, where they read more than the history's texts: an
            encoder or a ranking, which are part of the address of its step.
        rerankers: Those that pick its examples.
        adapter: The one that it chooses by; None: it uses none.
        always: Whether a run shows it unasked; the others stand in `evaluate.methods`.
        train: Learns from the training users, in the run's own process, in a step of its own before `calls` and
            `answer` run on the cluster's workers; None: there is nothing to learn. Not with `always`.
        reads_feedback: Whether `train` reads `MethodTraining.feedback`.
        reads_own_feedback: Whether it also reads the evaluated users' (`MethodTraining.own_feedback`): what was asked
            for that is charged for each new user. Only with `reads_feedback`.
        asks: What the LLM is asked about the training users' queries, for `MethodTraining.answered`; None: nothing.
        builds_on: Other methods whose `train` this one uses (`trained_by`). Its `asks`, if it has any, are then about
            training users whom those have not learned from.
        serves_lora: Whether its calls name LoRA adapters: the run then serves the LLM with adapters.
        serves_weights: Gives, of the folder that `train` wrote, that of a model that answers its calls in place of the
            LLM; None of it: the LLM does. None: it always does.
        user_parameters: How many numbers of one user's own there are in the folder that `train` wrote; None: none.
        reads_prompts: Whether `answer` reads `AnsweredQuestion.prompt`.
        trained_as: Methods of the same name here share what one `train` learns; "": it is the method's own.
        train_reads: What `train` reads of the configuration, as plain values: where it changes, the training is done
            anew. None: nothing but the task and how prompts are worded and shortened.
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
    reads_own_feedback: bool = False
    asks: TrainingCalls | None = None
    builds_on: Callable[[Config], tuple[str, ...]] = lambda config: ()
    serves_lora: bool = False
    serves_weights: Callable[[Path], Path | None] | None = None
    user_parameters: Callable[[Path], int] | None = None
    reads_prompts: bool = False
    trained_as: str = ""
    train_reads: Callable[[Config], Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        if self.train and self.always:
            raise ValueError(f"{self.title}: a method that trains cannot be one that every run shows")
        if self.reads_own_feedback and not self.reads_feedback:
            raise ValueError(f"{self.title}: a method with `reads_own_feedback` needs `reads_feedback`")
        if self.serves_weights and (self.always or not self.train):
            raise ValueError(f"{self.title}: a method with `serves_weights` needs a `train` that makes them")
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
