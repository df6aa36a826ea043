"""Which files a data set consists of, by `data.source`; says which one is missing before any work starts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hydra_ray.config import DataConfig
from hydra_ray.core.records import Split
from hydra_ray.errors import UserError

OWN_SUFFIXES = (".parquet", ".jsonl", ".ndjson")
OPPU_TRAIN = "user_others.json"
OPPU_TEST = ("user_top_100_history.json", "user_more_100_history.json")
"""OPPU's test users; the second is the name of its tweets' file."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file to read.

    index: its place in the data set; orders a user's records. split: None where users are split one by one (own
    rows). outputs: LaMP's gold answers, None where there are none. prefix: LaMP's name of the split.
    """

    kind: Literal["lamp", "oppu", "own"]
    index: int
    path: Path
    split: Split | None = None
    outputs: Path | None = None
    prefix: str = ""

    @property
    def name(self) -> str:
        """How rejects name the file."""
        return self.path.name

    @property
    def bytes(self) -> int:
        return self.path.stat().st_size


def find_sources(data: DataConfig, root: Path) -> list[Source]:
    """The files under `root` that `data` describes. Raises UserError that names the missing one."""
    if not root.is_dir():
        raise UserError(f"{root}: no such folder: data.root must be the folder that holds {_wanted(data)}")
    if data.source == "oppu":
        return _oppu(data, root)
    if data.source == "own":
        return _own(data, root)
    if data.train_split == data.test_split:
        raise UserError(f"data.test_split: {data.test_split!r} is data.train_split as well: give another prefix")
    return [_lamp(data, root, 0, data.train_split, "train"), _lamp(data, root, 1, data.test_split, "test")]


def _lamp(data: DataConfig, root: Path, index: int, prefix: str, split: Split) -> Source:
    questions, outputs = root / f"{prefix}_questions.json", root / f"{prefix}_outputs.json"
    _demand(questions, data)
    if split == "train":
        _demand(outputs, data)
    return Source("lamp", index, questions, split, outputs if outputs.exists() else None, prefix)


def _oppu(data: DataConfig, root: Path) -> list[Source]:
    _demand(root / OPPU_TRAIN, data)
    tests = [name for name in OPPU_TEST if (root / name).is_file()]
    if len(tests) > 1:
        raise UserError(f"{root}: holds {' and '.join(tests)}, two files of test users: leave one of them in data.root")
    _demand(root / (tests or OPPU_TEST)[0], data)
    return [Source("oppu", 0, root / OPPU_TRAIN, "train"), Source("oppu", 1, root / tests[0], "test")]


def _own(data: DataConfig, root: Path) -> list[Source]:
    paths = sorted(p for p in root.glob(data.own.files) if p.is_file() and p.suffix in OWN_SUFFIXES)
    if not paths:
        raise UserError(f"{root}: no file matches own.files={data.own.files!r}: data.root must hold {_wanted(data)}")
    return [Source("own", index, path) for index, path in enumerate(paths)]


def _wanted(data: DataConfig) -> str:
    if data.source == "oppu":
        return f"{OPPU_TRAIN} and {' or '.join(OPPU_TEST)}"
    if data.source == "own":
        return "Parquet or JSON Lines files (.parquet, .jsonl, .ndjson)"
    train, test = data.train_split, data.test_split
    return f"{train}_questions.json, {train}_outputs.json and {test}_questions.json"


def _demand(path: Path, data: DataConfig) -> None:
    if not path.is_file():
        raise UserError(f"{path}: no such file: data.root must hold {_wanted(data)}")
