"""LaMP's files of outputs, golds and predictions alike, alone or many in a zip; zips are read in memory.

A file is `{"task": ID, "golds": [{"id", "output"}, ...]}`; further keys are ignored. In a zip every `.json` at any
depth is one task's file. Nothing is ever extracted.
"""

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from hydra_ray.core.lamp_score import TaskOutputs
from hydra_ray.data.formats.fields import id_of
from hydra_ray.data.zips import reading
from hydra_ray.errors import UserError

MOST_BYTES = 2 << 30
"""Of all members that are read of a zip, unpacked."""


def read_outputs(path: Path) -> list[TaskOutputs]:
    """Every task's outputs in a file or a zip of files, in the zip's order.

    Raises:
        UserError: The file cannot be read, is not LaMP's layout, holds a member whose path climbs out of the zip, or
            the same task twice.
    """
    try:
        with path.open("rb") as file:
            is_zip = file.read(2) == b"PK"
        found = _of_zip(path) if is_zip else [parse_outputs(path.read_bytes(), str(path))]
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}; give a JSON file of outputs, or a zip of them") from None
    seen: dict[str, str] = {}
    for outputs in found:
        if outputs.task_id in seen:
            both = f"{seen[outputs.task_id]} and {outputs.where}"
            raise UserError(f"{both}: two files of {outputs.task_id}; leave one of them in {path}")
        seen[outputs.task_id] = outputs.where
    return found


def _of_zip(path: Path) -> list[TaskOutputs]:
    with reading(path, "output files") as (archive, members):
        wanted = [member for member in members if _is_task_file(member.filename)]
        if not wanted:
            raise UserError(f"{path}: holds no .json file; give a zip with one file of outputs for each task")
        if sum(member.file_size for member in wanted) > MOST_BYTES:
            raise UserError(f"{path}: unpacks to more than {MOST_BYTES >> 30} GiB; leave output files alone in it")
        return [parse_outputs(archive.read(member), f"{path}: {member.filename}") for member in wanted]


def _is_task_file(name: str) -> bool:
    """Not what macOS adds of its own."""
    parts = PurePosixPath(name).parts
    return parts[-1].endswith(".json") and not parts[-1].startswith("._") and parts[0] != "__MACOSX"


def parse_outputs(content: bytes, where: str) -> TaskOutputs:
    """One file's outputs.

    Args:
        content: The file.
        where: Its name, for messages.

    Returns:
        Ids and outputs as text: numbers are written out; a prediction that is null, or no number (NaN, which some
        programs write though it is not JSON), is empty.

    Raises:
        UserError: It is not JSON, or not of this layout.
    """
    try:
        whole = json.loads(content, parse_constant=lambda name: None)
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: is not in UTF-8 (byte {error.start}); convert it, or write it again") from None
    except json.JSONDecodeError as error:
        what = "goes on after its first value" if error.msg == "Extra data" else "is not JSON"
        raise UserError(f"{where}: {what} (line {error.lineno}, column {error.colno}); a file holds one JSON object: "
                        "write or download it again") from None  # fmt: skip
    except RecursionError:
        raise UserError(f"{where}: is nested too deeply; write or download the file again") from None
    except ValueError as error:  # a number of too many digits
        raise UserError(f"{where}: cannot be read ({error}); write or download the file again") from None
    layout = 'the layout is {"task": ID, "golds": [{"id": ..., "output": ...}, ...]}'
    if not isinstance(whole, dict) or not isinstance(whole.get("task"), str):
        raise UserError(f"{where}: names no task; {layout}")
    if not isinstance(whole.get("golds"), list):
        raise UserError(f'{where}: has no list "golds"; {layout}')
    return TaskOutputs(where, whole["task"], _entries(whole["golds"], where, layout))


def _entries(entries: Sequence[Any], where: str, layout: str) -> list[tuple[str, str]]:
    found = []
    for position, entry in enumerate(entries):
        key = id_of(entry.get("id")) if isinstance(entry, dict) else ""
        if not key or "output" not in entry:
            raise UserError(f"{where}: entry {position} (counted from 0) has no id or no output; {layout}")
        output = entry["output"]
        if isinstance(output, bool) or not isinstance(output, str | int | float | None):
            raise UserError(f"{where}: the output of {key} is {type(output).__name__}, not a text; {layout}")
        found.append((key, "" if output is None else str(output)))
    return found
