"""Source records as bytes."""

import json

from hydra_ray.core.types import HistoryItem
from hydra_ray.data.rows import SourceQuestion, SourceRow, from_payload

ITEMS = (HistoryItem("a", "text ü", "text ü", "5", "2020"), HistoryItem("b", "text", "title text", "", ""))
ROW = SourceRow("u", "test", 2, 9, ITEMS, (SourceQuestion("q", "?", None, "2021", "Head: "),))


def test_records_come_back() -> None:
    assert from_payload("u", "test", 2, 9, ROW.payload()) == ROW


def test_a_corpus_that_is_the_text_is_not_written_twice() -> None:
    items, _ = json.loads(ROW.payload())
    assert [item[2] for item in items] == [None, "title text"]
