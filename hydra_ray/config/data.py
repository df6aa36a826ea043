"""Sections that say where user histories come from, and which users are trained on and evaluated."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from hydra_ray.config.section import EACH_ONCE, Section
from hydra_ray.core.date_format import check_format
from hydra_ray.core.dates import normalise_date
from hydra_ray.core.sampling import Trial


class SynthConfig(Section):
    """The generated world of `data.source: synthetic`."""

    task: Literal["tagging", "rating", "headline"] = Field(
        default="tagging", description="Which of the three generated tasks is written."
    )
    users: int = Field(default=150, ge=2, description="Users that are written, training users first.")
    train_share: float = Field(default=0.667, gt=0, lt=1, description="Share of the users that are training users.")
    seed: int = Field(default=0, description="Seed of the world: another one makes other users with other tastes.")
    items: tuple[int, int] = Field(default=(10, 30), description="Fewest and most history items of a user.")
    questions: int = Field(default=1, ge=1, description="Questions per user.")


class TabularConfig(Section):
    """Your own histories (`data.source: tabular`): Parquet, JSON, JSON Lines, CSV or TSV, one history item a row."""

    files: str = Field(
        default="*",
        description="Which files of the folder are read, at any depth: a pattern for names (`*.jsonl`) or for paths "
        "(`2024/*/part-*`).",
    )
    user_field: str = Field(
        default="user_id", description="Column with the user's id; `a.b` is the field b within the column a."
    )
    id_field: str | None = Field(
        default="item_id", description="Column with the item's id. `null`: ids are made from the rows' content."
    )
    date_field: str | None = Field(default="date", description="Column with the date. `null`: items have no dates.")
    date_format: str | None = Field(
        default=None,
        description="Format of dates that cannot be read without one: a format of strptime such as `%d/%m/%Y`, or "
        "`epoch_s`, `epoch_ms`, `epoch_us`, `epoch_ns`.",
    )
    bad_dates: Literal["stop", "undated"] = Field(
        default="stop",
        description="What happens if more than 1 % of the dates cannot be read: `stop`, or go on with those items "
        "`undated`.",
    )
    bad_lines: float = Field(
        default=0.0, ge=0, le=1, description="Share of a file's lines that may be broken before the run stops."
    )
    questions: int = Field(
        default=3, ge=1, description="So many of each user's newest items become questions; the others are the history."
    )
    min_items: int = Field(
        default=5, ge=1, description="History items that must remain for a user's newest items to become questions."
    )
    test_share: float = Field(
        default=0.333, gt=0, lt=1, description="Share of the users, chosen by a hash of their ids, that are test users."
    )

    @field_validator("date_format")
    @classmethod
    def _readable(cls, declared: str | None) -> str | None:
        return None if declared is None else check_format(declared)


class DataConfig(Section):
    """Where user histories come from."""

    source: Literal["synthetic", "lamp", "oppu", "tabular"] = Field(
        default="synthetic",
        description="`synthetic` (generated), `lamp` (files in LaMP's layout), `oppu` (OPPU's processed histories) or "
        "`tabular` (your own rows, described by `data.tabular`).",
    )
    root: str | None = Field(
        default=None,
        description="Folder with the files; for `tabular` also one file, or a folder or file at `s3://`, `gs://`, "
        "`hf://`. Relative paths start where the command is typed.",
    )
    task: str = Field(default="synthetic_tagging", description="Name of a built-in task, or path of a task YAML file.")
    train_split: str = Field(default="train", description="Prefix of LaMP's files with the training users.")
    test_split: str = Field(default="dev", description="Prefix of LaMP's files with the test users.")
    buckets: int = Field(
        default=64,
        ge=1,
        description="User buckets that the histories are written in: far more than there are workers. Fixed for the "
        "life of a data set.",
    )
    max_rejects: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Share of the items, and of the questions, that may be unusable before the run stops. 1 also "
        "accepts a data set without questions.",
    )
    max_history: int | None = Field(
        default=None,
        ge=1,
        description="Newest history items that are kept of a user, of those that all of the user's questions see; a "
        "later question sees what came in between as well. `null`: all.",
    )
    questions_after: str | None = Field(
        default=None,
        description="Date from which on questions are asked, while histories end before it: how well the past "
        "foretells changed behaviour. Earlier questions, and whatever has no date, are left out. `null`: questions of "
        "any date.",
    )
    synth: SynthConfig = Field(default=SynthConfig(), description="The generated world.")
    tabular: TabularConfig = Field(default=TabularConfig(), description="Your own rows.")

    @field_validator("questions_after", mode="before")
    @classmethod
    def _date(cls, given: Any) -> str | None:
        """In the canonical form; YAML reads a bare date as one, and a bare year as a number."""
        if given is None:
            return None
        found = normalise_date(str(given))
        if not found:
            raise ValueError("is no date; write it as 2024-06-30")
        return found

    def identity(self) -> dict[str, Any]:
        """What decides the outcome of the ingest besides the files, for its address."""
        dumped = self.model_dump(mode="json", exclude={"root", "synth", "max_rejects"})
        for name in ("max_history", "questions_after"):
            if dumped[name] is None:
                del dumped[name]
        return dumped


class ProtocolConfig(Section):
    """Which users are trained on and which are evaluated."""

    train_users: int | None = Field(
        default=100, ge=1, description="Training users drawn per seed. `null`: all. Each costs LLM calls."
    )
    test_users: int | None = Field(
        default=50, ge=1, description="Test users drawn per seed. `null`: all. Each costs LLM calls."
    )
    folds: int | None = Field(
        default=None,
        ge=1,
        description="Cross-fitting over users: all users with a question and its gold answer, of both splits, are cut "
        "into so many folds, and each fold is tested by models trained on the others, so that every user is tested "
        "once by a model that has not seen them. At most train_users + test_users users take part. `null` or 1: the "
        "data's own splits.",
    )
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=1 << 32)], ...], EACH_ONCE] = Field(
        default=(0,), min_length=1, description="One drawing of users and one training for each seed."
    )
    pseudo_queries: int = Field(
        default=10, ge=0, description="History items per user that are asked as if they were questions."
    )
    questions: int | None = Field(
        default=None, ge=1, description="Evaluated questions per test user at most. `null`: all."
    )
    train_questions: int | None = Field(
        default=1, ge=1, description="Questions per training user that are learned from at most. `null`: all."
    )

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The trainings of a run: every seed's, fold by fold where there are folds."""
        folds: Sequence[int | None] = range(self.folds or 0) if self.cross_fitted else (None,)
        return tuple(Trial(seed, fold) for seed in self.seeds for fold in folds)

    @property
    def cross_fitted(self) -> bool:
        """Whether users are tested fold by fold."""
        return self.folds is not None and self.folds > 1
