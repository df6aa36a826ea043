"""What a task is: which fields its items have, how a question is put, what counts as a right answer.

Built-in tasks are YAML files in `hydra_ray/tasks/`; a user's own task is a file of the same shape.
"""

import re
import unicodedata
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from hydra_ray.core.rouge import RougeTokens
from hydra_ray.core.token_estimate import estimate_tokens
from hydra_ray.errors import UserError
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
    kind: `classification` (one of `labels`), `rating` (a number of `labels`, ordered) or `generation` (free text).
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
    kind: Literal["classification", "rating", "generation"]
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
    def _labels_fit_kind(self) -> "Task":
        if self.kind != "generation" and not self.labels:
            raise ValueError(f"a {self.kind} task needs `labels`")
        if self.kind == "rating":
            for label in self.labels:
                float(label)
        if self.stand_in and self.answer_field is not None:
            raise ValueError("stand_in: only for items without answer_field; these have their own answers")
        if self.search_pattern is not None:
            try:
                groups = re.compile(self.search_pattern, re.DOTALL).groups
            except re.error as error:
                raise ValueError(f"search_pattern: no regular expression: {error}") from None
            if not groups:
                raise ValueError("search_pattern: needs a group (...) around what retrieval searches for")
        if self.kind == "generation" and self.hide_labels:
            raise ValueError("hide_labels: a generation task has no labels to hide")
        if self.max_answer_tokens == 0:
            object.__setattr__(self, "max_answer_tokens", self._default_answer_tokens())
        return self

    def _default_answer_tokens(self) -> int:
        if self.kind == "generation":
            return 64 if self.single_line else 512
        if self.kind == "rating":
            return 16
        return max(24, 8 + 2 * max(estimate_tokens(label) for label in self.labels))

    @property
    def shown_instruction(self) -> str:
        """The instruction as the LLM reads it, with the labels of a closed task."""
        if self.kind == "generation" or self.hide_labels:
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


@lru_cache
def load_task(name_or_path: str) -> Task:
    """A built-in task by name, or a user's own from a YAML file.

    Raises UserError if there is no such task or its file is malformed.
    """
    path = TASK_DIR / f"{name_or_path}.yaml"
    if not path.exists():
        path = Path(name_or_path)
        if path.suffix not in {".yaml", ".yml"} or not path.exists():
            known = ", ".join(builtin_tasks())
            raise UserError(f"unknown task {name_or_path!r}: give one of {known}, or the path of a task's YAML file")
    tree = read_yaml(path)
    if not isinstance(tree, dict):
        raise UserError(f"{path}: a task is a mapping of keys, this is a {type(tree).__name__}")
    try:
        return Task.model_validate({"name": path.stem, **tree})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "task"
        raise UserError(f"{path}: {where}: {first['msg']}") from None
    except TypeError as error:
        raise UserError(f"{path}: keys of a task are words ({error})") from None


def task_of_lamp_id(lamp_id: str, fields: set[str]) -> str | None:
    """The built-in task for the id in a LaMP file; a profile item's `fields` tell the meanings of LaMP_2 apart."""
    candidates = [name for name in builtin_tasks() if lamp_id in load_task(name).lamp_ids]
    fitting = [name for name in candidates if set(load_task(name).text_fields) <= fields]
    return next(iter(fitting or candidates), None)
