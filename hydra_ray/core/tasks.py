"""What a task is: which fields its items have, how a question is put, what counts as a right answer.

A `Task` names its kind; what depends on the kind is asked of `task.rules`, a `TaskKind` of the registry `TASK_KINDS`.

Built-in tasks are YAML files in `hydra_ray/tasks/`; a user's own task is a file of the same shape.
"""

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from hydra_ray.core.rouge import RougeTokens
from hydra_ray.errors import UserError
from hydra_ray.registries import TASK_KINDS
from hydra_ray.utils.yaml_io import read_yaml

LABELS = "{labels}"
"""In a task's instruction: where its labels are listed."""

TASK_DIR = Path(__file__).parent.parent / "tasks"

HIGHER_IS_BETTER = {
    "accuracy": True,
    "macro_f1": True,
    "mae": False,
    "rmse": False,
    "rouge1": True,
    "rougeL": True,
    "bleu": True,
}


Speller = Callable[[Any, str], str | None]
"""A value of the user's data and its text without outer whitespace -> the answer as the task spells it; None: none."""


class TaskKind(ABC):
    """What a kind of task decides: what counts as an answer, how answers are read, chosen and measured. Stateless.

    closed: Answers are among the task's labels: the prompt lists them, an answer matches the gold or does not, and a
        user's past answers are candidates for the next. Otherwise answers are compared by how close they are to gold.
    metrics: What is reported, by name in `hydra_ray.core.metrics`; the first is what `init-task` proposes.
    further_metrics: What else a task may name as its `primary_metric`; it is reported only then.
    summary_instruction: First line of the prompt that asks for a user's profile summary (PAG).
    """

    closed: ClassVar[bool]
    metrics: ClassVar[tuple[str, ...]]
    further_metrics: ClassVar[tuple[str, ...]] = ()
    summary_instruction: ClassVar[str]

    @abstractmethod
    def check(self, task: "Task") -> None:
        """Raises ValueError if a task's definition does not fit its kind; the message begins with the key."""

    @abstractmethod
    def answer_tokens(self, task: "Task") -> int:
        """The default of `max_answer_tokens`."""

    @abstractmethod
    def parse(self, task: "Task", text: str) -> str:
        """The scored answer in what the LLM wrote, "" if there is none; applying it twice changes nothing."""

    @abstractmethod
    def parse_gold(self, task: "Task", gold: str) -> str:
        """A gold answer (in Unicode's composed form) as `parse` would give it; never "" for one that holds words."""

    @abstractmethod
    def is_answer(self, task: "Task", answer: str) -> bool:
        """Whether a parsed answer is one that the task knows."""

    @abstractmethod
    def consensus(self, task: "Task", answers: Sequence[str]) -> str:
        """The one that parsed samples (at least one, none empty) agree on; ties to the earliest."""

    @abstractmethod
    def from_history(self, task: "Task", answers: Sequence[str]) -> str:
        """The answer without any LLM, from the user's own answers, oldest first; "" if they hold none."""

    @abstractmethod
    def speller(self, task: "Task") -> Speller:
        """What reads the answers in the user's data."""


class StandIn(BaseModel):
    """What is asked of history items that carry no answer, so that users' heads can be fitted on them all the same.

    make: `remainder` (the item's text is the question, what its corpus has beyond that the answer: an abstract after
    its title) or `completion` (the first 10 to 25 % of the text's words are the question, the others the answer).
    The other fields are those of a task.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    make: Literal["remainder", "completion"]
    instruction: str
    text_label: str = "Text"
    answer_label: str = "Answer"
    single_line: bool = False
    max_answer_tokens: int = Field(default=0, ge=0)


class Task(BaseModel):
    """A task's definition.

    name: how configs refer to it. lamp_ids: the ids LaMP's files use for it ("LaMP_2M").
    kind: `classification` (one of `labels`), `rating` (a number of `labels`, ordered), `generation` (free text), or one
    that a plug-in adds to `hydra_ray.registries.TASK_KINDS`.
    text_fields: fields of an item that are asked about; corpus_fields: what retrieval searches (default: the same).
    answer_field: the field with the user's own answer; None where items carry none. stand_in: what is asked of items
    then; without it there are no pseudo-queries.
    search_pattern: a regular expression whose groups, found in a question's text, are what retrieval searches for
    (default: the whole text).
    question_marker: in LaMP's `input`, the question's text starts after this; None keeps the whole input.
    instruction: first line of every prompt; `{labels}` in it stands for the labels, which a closed task's prompt always
    lists: without `{labels}` they follow the instruction. text_label / answer_label name the two parts of an example.
    labels: every label of a classification, or the scale of a rating, low to high; numbers need no quotes.
    hide_labels: the reason why the LLM is not shown the labels; empty: it is shown them.
    single_line: the answers are one line each (headlines, titles); else free text keeps every line.
    rouge: how ROUGE and BLEU see words (`hydra_ray.core.rouge`): `lamp` as LaMP is scored, `unicode` in every script.
    max_answer_tokens: the LLM's budget for one answer, in tokens. Default by kind: 24 or what the longest label needs,
    16 for a rating, 64 for a single line, 512 for other free text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    lamp_ids: tuple[str, ...] = ()
    kind: str
    text_fields: tuple[str, ...]
    corpus_fields: tuple[str, ...] = ()
    answer_field: str | None
    stand_in: StandIn | None = None
    question_marker: str | None = None
    search_pattern: str | None = None
    instruction: str
    text_label: str = "Text"
    answer_label: str = "Answer"
    labels: tuple[str, ...] = ()
    hide_labels: str = ""
    primary_metric: Literal["accuracy", "macro_f1", "mae", "rmse", "rouge1", "rougeL", "bleu"]
    single_line: bool = False
    rouge: RougeTokens = "unicode"
    max_answer_tokens: int = Field(default=0, ge=0)

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, kind: str) -> str:
        try:
            return TASK_KINDS.check(kind)
        except UserError as error:
            raise ValueError(str(error)) from None

    @field_validator("labels", mode="before")
    @classmethod
    def _labels_as_text(cls, labels: Any) -> Any:
        """Numbers in YAML are labels as they are written; yes, no, true and false are not: YAML does not keep which."""
        if not isinstance(labels, list | tuple):
            return labels
        if any(isinstance(label, bool) for label in labels):
            raise ValueError("YAML reads yes, no, true, false, on and off as a truth value; put such labels in quotes")
        return tuple(str(label) if isinstance(label, int | float) else label for label in labels)

    @field_validator("labels")
    @classmethod
    def _composed(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        """Labels in Unicode's composed form (NFC), in which all answers are compared."""
        composed = tuple(unicodedata.normalize("NFC", label) for label in labels)
        twice = next((label for i, label in enumerate(composed) if label in composed[:i]), None)
        if twice is not None:
            raise ValueError(f"{twice!r} is listed twice")
        return composed

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "Task":
        if self.stand_in and self.answer_field is not None:
            raise ValueError("stand_in: only for items without answer_field; these have their own answers")
        if self.search_pattern is not None:
            try:
                groups = re.compile(self.search_pattern, re.DOTALL).groups
            except re.error as error:
                raise ValueError(f"search_pattern: no regular expression: {error}") from None
            if not groups:
                raise ValueError("search_pattern: needs a group (...) around what retrieval searches for")
        known = (*self.rules.metrics, *self.rules.further_metrics)
        if self.primary_metric not in known:
            raise ValueError(
                f"primary_metric: a {self.kind} task has no {self.primary_metric}; give one of {', '.join(known)}"
            )
        self.rules.check(self)
        if self.max_answer_tokens == 0:
            object.__setattr__(self, "max_answer_tokens", self.rules.answer_tokens(self))
        return self

    @property
    def rules(self) -> TaskKind:
        """What the task's kind decides."""
        found: TaskKind = TASK_KINDS.get(self.kind)
        return found

    @property
    def closed(self) -> bool:
        """Whether answers are among the labels."""
        return self.rules.closed

    @property
    def shown_instruction(self) -> str:
        """The instruction as the LLM reads it, with the labels of a closed task."""
        if not self.closed or self.hide_labels:
            return self.instruction
        joined = ("; " if any("," in label for label in self.labels) else ", ").join(self.labels)
        if LABELS in self.instruction:
            return self.instruction.replace(LABELS, joined)
        return f"{self.instruction} Possible answers: {joined}."

    @cached_property
    def stand_in_task(self) -> "Task":
        """The free-text task that stand-in queries are. Raises ValueError if there is no `stand_in`."""
        if self.stand_in is None:
            raise ValueError(f"task {self.name} has no stand_in")
        changes = self.stand_in.model_dump(exclude={"make"})
        kept = self.model_dump(include={"name", "lamp_ids", "text_fields", "corpus_fields", "answer_field"})
        return Task(**kept, **changes, kind="generation", primary_metric="rouge1")

    def finds_search_text(self, text: str) -> bool:
        """Whether a question is written as `search_pattern` says, where there is one."""
        return self.search_pattern is None or re.search(self.search_pattern, text, re.DOTALL) is not None

    def search_text(self, text: str) -> str:
        """What retrieval searches for when `text` is asked."""
        found = re.search(self.search_pattern, text, re.DOTALL) if self.search_pattern else None
        return " ".join(group for group in found.groups() if group) if found else text

    @property
    def corpus(self) -> tuple[str, ...]:
        return self.corpus_fields or self.text_fields

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger primary metric is the better one."""
        return HIGHER_IS_BETTER[self.primary_metric]


def builtin_tasks() -> list[str]:
    """The names of the tasks that ship with the package."""
    return sorted(path.stem for path in TASK_DIR.glob("*.yaml"))


def load_task(name_or_path: str) -> Task:
    """A built-in task by name, or a user's own from a YAML file, which is read again when it has changed.

    Raises UserError if there is no such task or its file is malformed.
    """
    path = TASK_DIR / f"{name_or_path}.yaml"
    if not path.exists():
        path = Path(name_or_path)
        if path.suffix not in {".yaml", ".yml"} or not path.exists():
            known = ", ".join(builtin_tasks())
            raise UserError(f"unknown task {name_or_path!r}: give one of {known}, or the path of a task's YAML file")
    about = path.stat()
    return _read_task(path, about.st_mtime_ns, about.st_size)


@lru_cache
def _read_task(path: Path, changed: int, size: int) -> Task:
    """changed, size: of the file, which is read once for each."""
    tree = read_yaml(path)
    if not isinstance(tree, dict):
        raise UserError(f"{path}: a task is a mapping of keys, this is a {type(tree).__name__}")
    try:
        return Task.model_validate({"name": path.stem, **tree})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "task"
        raise UserError(f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}") from None
    except TypeError as error:
        raise UserError(f"{path}: keys of a task are words ({error})") from None


def task_of_lamp_id(lamp_id: str, fields: set[str]) -> str | None:
    """The built-in task for the id in a LaMP file; a profile item's `fields` tell the meanings of LaMP_2 apart."""
    candidates = [name for name in builtin_tasks() if lamp_id in load_task(name).lamp_ids]
    fitting = [name for name in candidates if set(load_task(name).text_fields) <= fields]
    return next(iter(fitting or candidates), None)
