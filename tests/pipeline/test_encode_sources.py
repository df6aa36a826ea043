from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hydra_ray.config import Config
from hydra_ray.core.labeling import Row
from hydra_ray.core.types import HistoryItem, Question, User
from hydra_ray.pipeline import encode_sources
from hydra_ray.pipeline.encode_sources import ExampleTexts, HistoryTexts
from hydra_ray.pipeline.stage_rows import LabelRow, PromptedRow, rows_to_table

ITEMS = tuple(HistoryItem(str(i), f"One {i}. Two {i}.", f"corpus {i}", "5", f"2020-01-0{i}") for i in range(1, 4))
USERS = [User(name, "train", ITEMS, (Question("q", f"asked by {name}", "4", (0, 1, 2)),)) for name in ("u", "v")]


@pytest.fixture
def answered(tmp_path: Path) -> Path:
    """A query of each of two users, with two items to score, all of them answered."""
    rows = []
    for user in USERS:
        query = Row(user.user_id, "p:3", f"Query of {user.user_id}! Really?", "5", (ITEMS[0].text, ITEMS[1].text))
        rows.append((user, PromptedRow(LabelRow(query, (1.0, 0.5), (0.5, 1.0)))))
    table = rows_to_table(LabelRow, rows, {"u": 1, "v": 4})
    (tmp_path / "queries").mkdir()
    (tmp_path / "answers").mkdir()
    pq.write_table(table, tmp_path / "queries" / "0.parquet")
    answers = [{"row_id": f"{user.user_id}\x1fp:3", "bucket": b, "texts": [["5"], ["1"]]} for user, b in zip(
        USERS, (1, 4), strict=True)]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(answers), tmp_path / "answers" / "0.parquet")
    return tmp_path


def test_the_sentences_of_all_rows_by_bucket(answered: Path) -> None:
    config = Config.model_validate({"data": {"task": "lamp_3"}})
    source = ExampleTexts(config, "reranker", answered, answered, {"u": "train", "v": "train"})
    assert source.buckets() == [1, 4]
    items = {"One 1.", "Two 1.", "One 2.", "Two 2."}
    assert set(source.texts([1])) == {"Query of u!", "Really?"} | items
    assert set(source.texts([1, 4])) == {"Query of u!", "Query of v!", "Really?"} | items


@pytest.mark.parametrize(("pair", "expected"), [("bi_encoder", "Query of u! Really?"), ("none", None)])
def test_a_pair_encoder_that_reads_whole_texts_or_none(answered: Path, pair: str, expected: str | None) -> None:
    config = Config.model_validate({"data": {"task": "lamp_3"}, "model": {"pair": pair}})
    found = set(ExampleTexts(config, "reranker", answered, answered, {}).texts([1]))
    assert found == ({expected, ITEMS[0].text, ITEMS[1].text} if expected else set())


def test_what_reads_whole_histories(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def read(_: Path, split: str, ids: set[str]) -> list[User]:
        return [user for user in USERS if user.split == split and user.user_id in ids]

    monkeypatch.setattr(encode_sources, "read_users", read)
    chosen = {"u": "train", "v": "test"}  # there is no test user v
    own, corpus = {*(item.text for item in ITEMS), "asked by u"}, {item.corpus for item in ITEMS}
    for changes, expected in (
        ({"adapter": {"history_similarity": True}}, own),
        ({"retrieval": {"method": "dense"}}, own | corpus),
    ):
        config = Config.model_validate({"data": {"task": "lamp_3"}, **changes})
        source = HistoryTexts(config, tmp_path, chosen)  # type: ignore[arg-type]
        assert set(source.texts(source.buckets())) == expected
        assert list(source.texts([])) == []
