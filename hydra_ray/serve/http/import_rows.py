"""The body of an import: a JSON array, or NDJSON (one JSON object a line), checked as a whole. Pure."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from hydra_ray.core.hashing import stable_hash
from hydra_ray.serve.http.body import Body
from hydra_ray.serve.http.ids import checked_id
from hydra_ray.serve.schemas import NewItem
from hydra_ray.serve.types import InvalidRowsError, RowMistake


class ImportRow(Body):
    """An item and whose it is. item_id: null: made from the row, so that the same row is the same item."""

    user_id: str
    item_id: str | None = Field(default=None, min_length=1, max_length=256)
    text: str = Field(max_length=100_000)
    answer: str | None = Field(default=None, max_length=20_000)
    corpus: str | None = Field(default=None, max_length=100_000)
    date: str | None = Field(default=None, max_length=64)

    @field_validator("user_id")
    @classmethod
    def _is_an_id(cls, user_id: str) -> str:
        return checked_id(user_id)

    @model_validator(mode="after")
    def _says_something(self) -> "ImportRow":
        if not self.text.strip():
            raise ValueError("text: must not be blank")
        return self

    def item(self) -> NewItem:
        """The item."""
        item_id = self.item_id or f"row-{stable_hash(self.text, self.answer, self.corpus, self.date).hex()}"
        answer, date = self.answer or "", self.date or ""
        return NewItem(item_id=item_id, text=self.text, answer=answer, corpus=self.corpus, date=date)


def read_rows(body: bytes) -> dict[str, list[tuple[int, NewItem]]]:
    """User id -> (number of the row, from 1; item), in their order.

    Raises:
        InvalidRowsError: with everything that is wrong: a row that is no item, an id that is there twice with
            different contents, no row at all.
    """
    found: dict[str, list[tuple[int, NewItem]]] = {}
    seen: dict[tuple[str, str], tuple[int, NewItem]] = {}
    problems: list[RowMistake] = []
    for number, tree in _trees(body, problems):
        try:
            row = ImportRow.model_validate(tree)
        except ValidationError as error:
            problems += [RowMistake(number, _field(e["loc"]), _words(e["msg"])) for e in error.errors()]
            continue
        item = row.item()
        first, same = seen.setdefault((row.user_id, item.item_id), (number, item))
        if same is item:
            found.setdefault(row.user_id, []).append((number, item))
        elif same != item:
            why = f"{item.item_id!r} of user {row.user_id!r} is row {first}, too, with other contents"
            problems.append(RowMistake(number, "item_id", why))
    if not found and not problems:
        problems.append(RowMistake(1, "body", "holds no rows; send a JSON array, or one JSON object a line"))
    if problems:
        raise InvalidRowsError(problems)
    return found


def _trees(body: bytes, problems: list[RowMistake]) -> Iterator[tuple[int, Any]]:
    """Numbered rows, parsed; what cannot be is added to `problems`. Of NDJSON the number is the line's."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = body[: error.start].count(b"\n") + 1
        problems.append(RowMistake(number, "body", f"is no UTF-8 at byte {error.start}"))
        return
    if text.lstrip().startswith("["):
        try:
            trees = json.loads(text)
        except (ValueError, RecursionError) as error:
            why = f"is no JSON array: {getattr(error, 'msg', error)}"
            problems.append(RowMistake(getattr(error, "lineno", 1), "body", why))
            return
        yield from enumerate(trees, 1)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                tree = json.loads(line)
            except (ValueError, RecursionError) as error:
                problems.append(RowMistake(number, "line", f"is no JSON: {getattr(error, 'msg', error)}"))
                continue
            yield number, tree


def _field(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc) or "row"


def _words(message: str) -> str:
    return message.removeprefix("Value error, ")
