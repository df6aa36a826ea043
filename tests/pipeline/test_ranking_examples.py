"""Cross-fitting: whose rows a fold trains on, whose heads it fits, and on which of their rows."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hydra_ray.config import Config
from hydra_ray.core.labeling import Row
from hydra_ray.core.sampling import UserSample, cross_fit
from hydra_ray.core.types import HistoryItem, Question, Split, User, user_to_row
from hydra_ray.pipeline.fit_spec import FitSpec
from hydra_ray.pipeline.llm_rows import MakeBatch
from hydra_ray.pipeline.ranking_examples import adapter_examples, read_ranking_examples
from hydra_ray.pipeline.stage_prompts import LabelPrompts
from hydra_ray.pipeline.stage_rows import CandidateRow, LabelRow, schema_of
from hydra_ray.training.joint.ranking_examples import RankingExample

SPLITS: tuple[Split, Split] = ("train", "test")
CONFIG = Config.model_validate({"protocol": {"folds": 3, "pseudo_queries": 2}, "data": {"buckets": 4}})


def someone(number: int, split: Split) -> User:
    """Five older items; the question is one of the user's own later items, as in `own` data."""
    items = tuple(HistoryItem(f"{i}", f"text {number} {i}", f"text {number} {i}", "budget") for i in range(5))
    question = Question("9", f"asked of {number}", "council", tuple(range(5)))
    return User(f"u{number}", split, items, (question,))


USERS = [someone(n, SPLITS[n % 2]) for n in range(9)]
IDS: dict[Split, list[str]] = {split: [u.user_id for u in USERS if u.split == split] for split in SPLITS}


def labelled(folder: Path, chosen: UserSample) -> Path:
    """What the label step writes for all folds, with answers that are all right."""
    made = LabelPrompts(CONFIG.model_dump(mode="json"), 0, None)
    # u1 is in both splits.
    stored = [user_to_row(user, int(user.user_id[1:]) % 4) for user in [*USERS, someone(1, "train")]]
    roles = {user_id: (source, "train") for user_id, source in chosen.source.items()}
    table = MakeBatch(lambda: made, (), roles)(pa.Table.from_pylist(stored))  # type: ignore[arg-type]
    (folder / "queries").mkdir(parents=True)
    assert table.schema == schema_of(LabelRow)
    pq.write_table(table, folder / "queries" / "part.parquet")
    answers = [
        {name: row[name] for name in ("row_id", "user_id", "bucket", "query_id")}
        | {"texts": [[row["gold"]]] * row["n_requests"]}
        for row in table.to_pylist()
    ]
    (folder / "answers").mkdir()
    pq.write_table(pa.Table.from_pylist(answers), folder / "answers" / "part.parquet")
    return folder


def read(folder: Path, chosen: UserSample, role: Split) -> list[RankingExample]:
    found = read_ranking_examples(CONFIG, "reranker", folder, range(4), role, chosen.read_as(role))
    return [example for user in found for example in user]


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled(tmp_path_factory.mktemp("label") / "answered", cross_fit(IDS, 0, 3, 0))


@pytest.mark.parametrize("fold", range(3))
def test_no_row_of_a_fold_trains_the_model_that_tests_it(answered: Path, fold: int) -> None:
    chosen = cross_fit(IDS, 0, 3, fold)
    training, tested = read(answered, chosen, "train"), read(answered, chosen, "test")
    assert {example.user_id for example in training} == set(chosen.train)
    assert {example.user_id for example in tested} == set(chosen.test)
    # A training user's own question is learned from; a tested one's is what the test asks.
    assert {example.user_id for example in training if example.query_id == "q:9"} == set(chosen.train)
    assert len(tested) == 2 * len(chosen.test)
    assert not [
        example for example in tested if example.query_id.startswith("q:") or example.query.startswith("asked of")
    ]
    theirs = {user_id.replace("u", "text ") for user_id in chosen.test}
    assert not [
        t for example in training for t in (example.query, *example.candidates) if t.rsplit(" ", 1)[0] in theirs
    ]


def test_a_fits_tuning_users_are_the_other_folds(answered: Path, tmp_path: Path) -> None:
    chosen = cross_fit(IDS, 0, 3, 1)
    fit = FitSpec(CONFIG, "reranker", "linear", ("test",), chosen.test, answered, tmp_path, tmp_path, None, tmp_path,
    None,
              chosen)  # fmt: skip
    fitted = [examples[0].user_id for bucket in range(4) for examples in fit.examples(bucket, ("test",))]
    tuning = [examples[0].user_id for bucket in range(4) for examples in fit.examples(bucket, ("train",))]
    assert (sorted(fitted), sorted(tuning)) == (sorted(chosen.test), sorted(chosen.train))


def test_a_user_of_both_splits_is_read_from_the_one_that_was_drawn(answered: Path) -> None:
    rows: list[dict[str, Any]] = pq.read_table(answered / "queries").to_pylist()
    assert len({row["row_id"] for row in rows}) == len(rows) == 9 * 3


def config(**changes: Any) -> dict[str, Any]:
    return Config.model_validate({"protocol": {"pseudo_queries": 2}, **changes}).model_dump(mode="json")


def test_stand_in_rows_train_the_adapter_as_free_text() -> None:
    changed = Config.model_validate(config(data={"task": "lamp_1", "source": "lamp", "root": "."}))
    queries = [
        Row("u", "q:b", "which?", "[2]", (), answers=(("[1]", "[2]"),)),
        Row("u", "p:a", "A title", "the right abstract", (), answers=(("the right abstract", "none of it"),)),
    ]
    stand_in, real = adapter_examples(changed, 0, [CandidateRow(query, {}, {}, ()) for query in queries])
    assert (stand_in.candidates, stand_in.label) == (("the right abstract", "none of it"), (1.0, 0.0))
    assert {number for numbers in stand_in.features for number in numbers} == {0.0}
    assert (real.candidates, real.label) == (("[1]", "[2]"), (0.0, 1.0))
    assert {number for numbers in real.features for number in numbers} != {0.0}
