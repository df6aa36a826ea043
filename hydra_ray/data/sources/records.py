"""What the readers of LaMP's and OPPU's files share: records checked one by one, and whether they are of the task."""

from collections.abc import Callable, Iterator
from typing import Any

from hydra_ray.core.tasks import Task
from hydra_ray.data.formats.json_stream import stream_list
from hydra_ray.data.rejects import Reject, excerpt
from hydra_ray.data.sources.find import Source
from hydra_ray.errors import UserError


def checked_records(
    source: Source, layout: str, missing: Callable[[Any], str], where: Callable[[int, Any], str], what: str
) -> Iterator[tuple[int, dict[str, Any]] | Reject]:
    """The records of a JSON list with their positions, and a Reject for each that is malformed.

    Args:
        source: The file.
        layout: What it should be, for errors.
        missing: What a record lacks of the layout, "" if nothing.
        where: A record's name in a Reject, from its position and itself.
        what: What the records are, for errors.

    Raises:
        UserError: Not JSON, cut off, a first record that is malformed, no record at all.
    """
    records = 0
    for position, raw in enumerate(stream_list(source.path, layout)):
        records += 1
        problem = missing(raw)
        if not problem:
            yield position, raw
        elif position == 0:
            raise UserError(f"{source.path}: not {layout}: its first record has {problem}")
        else:
            yield Reject(source.name, where(position, raw), "malformed_record", f"{problem}: {excerpt(raw)}")
    if records == 0:
        raise UserError(f"{source.path}: holds no {what}: write or download the file again")


def check_fields(source: Source, task: Task, fields: set[str]) -> None:
    """Raises UserError where an item with these fields is none of the task's."""
    if fields and not fields & set(task.text_fields):
        has, wants = ", ".join(sorted(fields)), ", ".join(task.text_fields)
        raise UserError(f"{source.path}: its items have {has}, but data.task={task.name} asks about {wants}")
