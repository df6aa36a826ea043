"""The files of a folder of any depth: in order, without what is not data, with what their folders say of them."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

NOT_ROWS = frozenset({"dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json"})
"""What Hugging Face's data sets keep next to their rows."""
_NULL = "__HIVE_DEFAULT_PARTITION__"
_PARTITION = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


def local_files(root: Path, skip: Path | None = None) -> list[tuple[str, Path]]:
    """Path under `root` (with `/`) and path of every file, sorted; `root` may be a file itself.

    Left out are hidden files and folders (`.` or `_` first), as Spark and Hive do, what data sets keep about
    themselves, what an ingest has written, and the folder `skip`. Links are followed, each folder once.
    """
    if root.is_file():
        return [(root.name, root)]
    visited = set()
    if skip is not None:
        runs = skip.resolve()
        visited = {runs / "steps", runs / "cache"} if runs == root.resolve() else {runs}
    return sorted((path.relative_to(root).as_posix(), path) for path in _walk(root, visited))


def _walk(folder: Path, visited: set[Path]) -> Iterator[Path]:
    real = folder.resolve()
    if real in visited:
        return
    visited.add(real)
    with os.scandir(folder) as scanned:
        entries = sorted(scanned, key=lambda entry: entry.name)
    if {"counts.json", "users"} <= {entry.name for entry in entries}:
        return
    for entry in entries:
        if entry.name[0] in "._":
            continue
        if entry.is_dir():
            yield from _walk(folder / entry.name, visited)
        elif entry.is_file() and entry.name not in NOT_ROWS:
            yield folder / entry.name


def is_hidden(relative: str) -> bool:
    """Whether a path under the root is one that `local_files` leaves out by its names."""
    parts = relative.split("/")
    return any(part[:1] in (".", "_") for part in parts) or parts[-1] in NOT_ROWS


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a path under the root fits `pattern`: by its name, or as a whole where the pattern has a `/`.

    `*` and `?` stand for anything but `/`, `**/` for folders of any depth, `[ab]` for one of the characters.
    """
    expression, i = "", 0
    while i < len(pattern):
        rest = pattern[i:]
        if rest.startswith("**/"):
            expression, i = expression + "(?:.*/)?", i + 3
        elif rest.startswith("**"):
            expression, i = expression + ".*", i + 2
        elif rest[0] in "*?":
            expression, i = expression + ("[^/]*" if rest[0] == "*" else "[^/]"), i + 1
        elif rest[0] == "[" and (end := rest.find("]", 2)) > 0:
            inner = rest[1:end].replace("\\", "\\\\")
            expression, i = expression + f"[{'^' + inner[1:] if inner[0] == '!' else inner}]", i + end + 1
        else:
            expression, i = expression + re.escape(rest[0]), i + 1
    compiled = re.compile(expression, re.DOTALL)
    whole = "/" in pattern
    return lambda path: compiled.fullmatch(path if whole else path.rsplit("/", 1)[-1]) is not None


def hive_columns(relative: str) -> tuple[tuple[str, str | None], ...]:
    """The columns that folders called `name=value` give to the rows of the files in them."""
    found = (_PARTITION.fullmatch(part) for part in relative.split("/")[:-1])
    return tuple((m[1], None if m[2] == _NULL else unquote(m[2])) for m in found if m)
