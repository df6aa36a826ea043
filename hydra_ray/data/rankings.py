"""Ranking files: which items of its history are best for a question, as LaMP writes and reads them.

A file is `{question id: [ids of all items, best first], ...}`, or LaMP's merged list `[{"id": question id, "profile":
[items, best first], ...}, ...]`, of which nothing but the ids is read.
"""

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra_ray.core.retrieval import Ranking
from hydra_ray.data.formats.fields import id_of
from hydra_ray.data.formats.json_stream import is_object, stream_list
from hydra_ray.errors import UserError

LAYOUT = 'a ranking is {"question id": ["best item id", "next", ...], ...}'
MERGED = 'a merged list is [{"id": question id, "profile": [{"id": best item id, ...}, ...], ...}, ...]'


def load_ranking(path: str) -> Ranking:
    """A ranking file; in memory once in a process.

    Raises:
        UserError: It cannot be read, is not JSON, or of another layout.
    """
    try:
        return _loaded(path, Path(path).stat().st_mtime_ns)
    except OSError as error:
        raise UserError(f"retrieval.ranking: {path}: {error.strerror}; give a ranking that every node sees") from None


@lru_cache(maxsize=2)
def _loaded(path: str, changed_ns: int) -> Ranking:
    del changed_ns
    file = Path(path)
    if is_object(file):
        return parse_ranking(file.read_bytes(), path)
    return merged_ranking(stream_list(file, "a ranking"), path)


def parse_ranking(content: bytes, where: str) -> dict[str, tuple[str, ...]]:
    """The ranking in a file's content. where: the file, for messages. Raises UserError."""
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError):
        raise UserError(f"{where}: is not JSON; write or download the file again") from None
    if not isinstance(whole, dict):
        raise UserError(f"{where}: is no ranking; {LAYOUT}")
    return {question: _ids(question, listed, where) for question, listed in whole.items()}


def merged_ranking(records: Iterable[Any], where: str) -> dict[str, tuple[str, ...]]:
    """The ranking in the records of a merged list. where: the file, for messages. Raises UserError."""
    found: dict[str, tuple[str, ...]] = {}
    for position, record in enumerate(records):
        question = id_of(record.get("id")) if isinstance(record, dict) else ""
        profile = record.get("profile") if question else None
        if not isinstance(profile, list):
            at = f"record {position} (counted from 0)"
            raise UserError(f"{where}: {at} has no id or no profile; {MERGED}, and {LAYOUT}")
        if question in found:
            raise UserError(f"{where}: question {question} is there twice; leave one of them in it")
        ids = [id_of(item.get("id")) if isinstance(item, dict) else "" for item in profile]
        if not all(ids):
            raise UserError(f"{where}: question {question} has an item without an id in its profile; {MERGED}")
        found[question] = tuple(ids)
    if not found:
        raise UserError(f"{where}: ranks nothing; {LAYOUT}, and {MERGED}")
    return found


def _ids(question: str, listed: Any, where: str) -> tuple[str, ...]:
    ids = [id_of(item) for item in listed] if isinstance(listed, list) else [""]
    if not all(ids):
        raise UserError(f"{where}: question {question} has no list of item ids; {LAYOUT}")
    return tuple(ids)


def ranking_hash(path: str | None) -> str:
    """A short hash of what a ranking file says. Raises UserError as `load_ranking`, and where there is none."""
    if path is None:
        raise UserError("retrieval.ranking: needed to retrieve by a ranking; give the file with it")
    load_ranking(path)
    return hashlib.blake2b(Path(path).read_bytes(), digest_size=8).hexdigest()
