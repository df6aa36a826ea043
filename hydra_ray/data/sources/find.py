"""Which files a data set consists of, by `data.source`; says which one is missing before any work starts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hydra_ray.config import DataConfig
from hydra_ray.core.types import Split
from hydra_ray.data.formats import remote
from hydra_ray.data.formats.files import FORMS, PACKINGS, form_of
from hydra_ray.data.formats.folders import hive_columns, is_hidden, local_files, matcher
from hydra_ray.errors import UserError

OPPU_TRAIN = "user_others.json"
OPPU_TEST = ("user_top_100_history.json", "user_more_100_history.json")
"""OPPU's test users; the second is the name of its tweets' file."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file to read.

    index: its place in the data set; orders a user's items. split: None where users are split one by one (own
    rows). outputs: LaMP's gold answers, None where there are none. prefix: LaMP's name of the split. url: where the
    file is, "" for `path`. label: its path under `data.root`, "" for its name. size: in bytes, None: as it is now.
    columns: names and values that the folders of its path give to all of its rows (`country=DE/`).
    """

    kind: Literal["lamp", "oppu", "tabular"]
    index: int
    path: Path
    split: Split | None = None
    outputs: Path | None = None
    prefix: str = ""
    url: str = ""
    label: str = ""
    size: int | None = None
    columns: tuple[tuple[str, str | None], ...] = ()

    @property
    def name(self) -> str:
        """How rejects name the file."""
        return self.label or self.path.name

    @property
    def where(self) -> str:
        """How errors name the file."""
        return self.url or str(self.path)

    @property
    def bytes(self) -> int:
        return self.path.stat().st_size if self.size is None else self.size

    def open(self) -> Any:
        """The file as a binary stream. Raises UserError."""
        if self.url:
            return remote.open_file(self.url)
        try:
            return self.path.open("rb")
        except OSError as error:
            raise UserError(f"{self.path}: {error.strerror}: mend that and run the same command again") from None


def data_root(data: DataConfig) -> Path | str:
    """`data.root` as a path, or as it is where it is a URL."""
    root = data.root or "."
    return root if remote.is_remote(root) else Path(root).expanduser()


def find_sources(data: DataConfig, root: Path | str, skip: Path | None = None) -> list[Source]:
    """The files at or under `root` that `data` describes. Raises UserError that names the missing one.

    skip: a folder within `root` that holds none (where runs are written).
    """
    if data.source == "tabular":
        return _own(data, root, skip)
    if isinstance(root, str):
        raise UserError(f"{root}: data.source={data.source} reads folders of this machine: copy the files into one")
    if not root.is_dir():
        raise UserError(f"{root}: no such folder: data.root must be the folder that holds {_wanted(data)}")
    if data.source == "oppu":
        return _oppu(data, root)
    if data.train_split == data.test_split:
        raise UserError(f"data.test_split: {data.test_split!r} is data.train_split as well: give another prefix")
    return [_lamp(data, root, 0, data.train_split, "train"), _lamp(data, root, 1, data.test_split, "test")]


def remote_checksums(sources: list[Source]) -> dict[str, str]:
    """URL -> what changes with its content, of the files that are no files of this machine."""
    return {source.url: remote.checksum(source.url) for source in sources if source.url}


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


@dataclass(frozen=True, slots=True)
class _Found:
    """A file below the root. url, size (bytes): of a remote one."""

    relative: str
    path: Path
    url: str = ""
    size: int | None = None


def _own(data: DataConfig, root: Path | str, skip: Path | None) -> list[Source]:
    fits = matcher(data.tabular.files)
    if isinstance(root, str):
        found = [_Found(file.relative, Path(file.relative), file.url, file.size) for file in remote.list_files(root)]
        alone = len(found) == 1 and root.rstrip("/").endswith(f"/{found[0].relative}")
        found = found if alone else [file for file in found if not is_hidden(file.relative)]
    else:
        if not root.exists():
            raise UserError(f"{root}: no such file or folder: data.root must be, or hold, {_wanted(data)}")
        alone = root.is_file()
        found = [_Found(relative, path) for relative, path in local_files(root, skip)]
    chosen = [file for file in found if (alone or fits(file.relative)) and form_of(file.relative) is not None]
    if not chosen and alone:
        raise UserError(f"{root}: unknown form: data.root must be, or hold, {_wanted(data)}")
    if not chosen:
        raise UserError(
            f"{root}: no file matches data.tabular.files={data.tabular.files!r}: data.root must hold {_wanted(data)}"
        )
    return [
        Source("tabular", i, f.path, url=f.url, label=f.relative, size=f.size, columns=hive_columns(f.relative))
        for i, f in enumerate(chosen)
    ]


def _wanted(data: DataConfig) -> str:
    if data.source == "oppu":
        return f"{OPPU_TRAIN} and {' or '.join(OPPU_TEST)}"
    if data.source == "tabular":
        packed = ", ".join(packing for packing in PACKINGS if packing)
        return f"Parquet, JSON, JSON Lines, CSV or TSV files ({', '.join(FORMS)}; text also {packed})"
    train, test = data.train_split, data.test_split
    return f"{train}_questions.json, {train}_outputs.json and {test}_questions.json"


def _demand(path: Path, data: DataConfig) -> None:
    if not path.is_file():
        raise UserError(f"{path}: no such file: data.root must hold {_wanted(data)}")
