"""What the readers yield: one source record of one user, ready to be merged with the user's others."""

import json
from dataclasses import dataclass

from hydra_ray.core.types import HistoryItem, Split


@dataclass(frozen=True, slots=True)
class SourceQuestion:
    """A question before its user is put together; its history is all items of the record it stands in.

    head: what stands before `text` in LaMP's `input`.
    """

    question_id: str
    text: str
    gold: str | None
    date: str = ""
    head: str = ""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One record: (source, position) says where it stands and orders a user's records.

    source: index of the file. position: of the record in it. items: in the file's order, ids may repeat.
    """

    user_id: str
    split: Split
    source: int
    position: int
    items: tuple[HistoryItem, ...] = ()
    questions: tuple[SourceQuestion, ...] = ()

    def payload(self) -> bytes:
        """Items and questions as compact JSON; a corpus that equals its text is left out."""
        items = [[i.item_id, i.text, None if i.corpus == i.text else i.corpus, i.answer, i.date] for i in self.items]
        questions = [[q.question_id, q.text, q.gold, q.date, q.head] for q in self.questions]
        return json.dumps([items, questions], separators=(",", ":"), ensure_ascii=False).encode()


def from_payload(user_id: str, split: Split, source: int, position: int, payload: bytes) -> SourceRow:
    """The inverse of `SourceRow.payload`."""
    items, questions = json.loads(payload.decode())
    return SourceRow(
        user_id,
        split,
        source,
        position,
        tuple(HistoryItem(i, text, text if corpus is None else corpus, a, d) for i, text, corpus, a, d in items),
        tuple(SourceQuestion(*question) for question in questions),
    )
