"""LaMP's files: `{split}_questions.json` with `{split}_outputs.json`, both layouts of ids, one record at a time.

Time-based files carry `user_id`. Older, user-based ones do not: there every question is a user of its own, named
`q:<split>:<question id>`.
"""

from collections.abc import Iterator
from typing import Any

from hydra_ray.core.tasks import Task, load_task, task_of_lamp_id
from hydra_ray.data.formats.fields import ItemParser, id_of
from hydra_ray.data.rejects import Reject
from hydra_ray.data.rows import SourceQuestion, SourceRow
from hydra_ray.data.sources.find import Source
from hydra_ray.data.sources.golds import GoldIndex, task_id_of
from hydra_ray.data.sources.questions import NO_GOLD, QuestionParser
from hydra_ray.data.sources.records import check_fields, checked_records
from hydra_ray.errors import UserError

LAYOUT = "a LaMP questions file"


def scan_lamp(source: Source, task: Task) -> Iterator[SourceRow | Reject]:
    """One SourceRow per usable record, and every reject.

    A question that cannot be used leaves its profile's items to the user. Raises UserError: not JSON, cut off, not
    LaMP's layout, another task's files, or gold answers of other questions.
    """
    lamp_id = task_id_of(source.outputs) if source.outputs else None
    if lamp_id is not None and task.lamp_ids and lamp_id not in task.lamp_ids:
        raise UserError(_other_task(source, task, lamp_id, set()))
    items = ItemParser(task)
    questions = QuestionParser(task, gold_needed=source.outputs is not None)
    unchecked, answerable = True, 0
    with GoldIndex() as golds:
        if source.outputs:
            yield from golds.load(source.outputs, source.outputs.name)
        for found in checked_records(source, LAYOUT, _malformed, _where, "questions"):
            if isinstance(found, Reject):
                yield found
                continue
            position, raw = found
            if unchecked and raw["profile"]:
                _check_fields(source, task, lamp_id, raw["profile"][0])
                unchecked = False
            question_id, record = id_of(raw["id"]), _where(position, raw)
            state, gold = golds.ask(question_id)
            if state == "repeated":
                yield Reject(source.name, record, "duplicate_question", f"with {len(raw['profile'])} items")
                continue
            answerable += 1
            question, notes = questions.parse(
                question_id, raw["input"], gold if state == "found" else NO_GOLD, raw.get("date"), source.name, record
            )
            yield from notes
            yield from _row(source, position, raw, question, items)
        _check_golds(source, golds, answerable)
        for question_id in golds.unasked():
            yield Reject(source.outputs.name if source.outputs else "", question_id, "gold_without_question")


def _row(
    source: Source, position: int, raw: dict[str, Any], question: SourceQuestion | None, parser: ItemParser
) -> Iterator[SourceRow | Reject]:
    items = []
    for index, raw_item in enumerate(raw["profile"]):
        item, notes = parser.parse(raw_item, source.name, f"{_where(position, raw)}/profile[{index}]")
        yield from notes
        if item is not None:
            items.append(item)
    user_id = id_of(raw.get("user_id")) or f"q:{source.prefix}:{id_of(raw['id'])}"
    assert source.split is not None
    yield SourceRow(user_id, source.split, source.index, position, tuple(items), (question,) if question else ())


def _malformed(raw: Any) -> str:
    """What the record lacks of LaMP's layout, "" if nothing."""
    if not isinstance(raw, dict):
        return "no id, input and profile"
    if not id_of(raw.get("id")):
        return "no id"
    if not isinstance(raw.get("input"), str):
        return "no input text"
    return "" if isinstance(raw.get("profile"), list) else "no profile list"


def _where(position: int, raw: Any) -> str:
    key = id_of(raw.get("id")) if isinstance(raw, dict) else ""
    return f"{position}:{key}" if key else str(position)


def _check_fields(source: Source, task: Task, lamp_id: str | None, item: Any) -> None:
    """The first item shows whether the files are of the configured task at all."""
    fields = set(item) if isinstance(item, dict) else set()
    if not fields:
        return
    meant = task_of_lamp_id(lamp_id, fields) if lamp_id else None
    if meant is not None and meant != task.name and task.name in _sharing(lamp_id):
        raise UserError(_other_task(source, task, lamp_id or "", fields))
    check_fields(source, task, fields)


def _sharing(lamp_id: str | None) -> list[str]:
    """The built-in tasks between which a LaMP id does not decide."""
    names = ("lamp_2m", "lamp_2n")
    return [name for name in names if lamp_id in load_task(name).lamp_ids]


def _other_task(source: Source, task: Task, lamp_id: str, fields: set[str]) -> str:
    meant = task_of_lamp_id(lamp_id, fields)
    shown = f" with items of {', '.join(sorted(fields))}" if fields else ""
    advice = f"set data.task: {meant}" if meant else "give the files of that task"
    return f"{source.outputs}: holds gold answers of {lamp_id}{shown}, but data.task is {task.name}: {advice}"


def _check_golds(source: Source, golds: GoldIndex, questions: int) -> None:
    """Raises UserError if less than half of the questions have a gold answer: then the file is not theirs."""
    if source.outputs is None or 2 * golds.matched >= questions:
        return
    raise UserError(
        f"{source.outputs}: has a gold answer for {golds.matched} of the {questions} questions of {source.name}: "
        "give the outputs file of the same split"
    )
