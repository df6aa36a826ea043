"""A stage's rows go through Parquet and come back as they were, each stage's in its own columns."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hydra_ray.core.features import AnswerFrequency, Supporter
from hydra_ray.core.labeling import Row
from hydra_ray.core.prompts import Prompt
from hydra_ray.core.types import User
from hydra_ray.errors import UserError
from hydra_ray.llm.request_columns import requests_from_structs
from hydra_ray.llm.types import Request
from hydra_ray.pipeline.llm_rows import RowsOfUser, read_rows
from hydra_ray.pipeline.stage_rows import (
    CandidateRow,
    Cuts,
    EvalRow,
    LabelRow,
    PromptedRow,
    StageRow,
    row_from_dict,
    rows_to_table,
    schema_of,
)

ANN = User("ann", "test")
QUERY = Row("ann", "q:1", "Frost.", "dune", ("a", "b"), (1.0, 0.0))
OWN = {"dune": AnswerFrequency(2, 1.71, 2.0000000000000004), "maple": AnswerFrequency(1, 0.9, 1.0)}
SUPPORTERS = (Supporter("maple", 0.1), Supporter("dune", 1 / 3))
REQUEST = Request(({"role": "user", "content": "what now"},), 0.7, 8, 4, 3)
ROWS: list[StageRow] = [
    StageRow(QUERY),
    LabelRow(QUERY, (1.0, 1 / 3), (0.5, 0.1)),
    CandidateRow(QUERY, OWN, {"maple": -0.1, "dune": 2 / 3}, SUPPORTERS),
    EvalRow(QUERY, ("greedy:zero_shot", "samples:hydra"), False, ("Dune", ""), OWN, {},
            SUPPORTERS),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
def test_a_row_comes_back_as_it_was(row: StageRow, tmp_path: Path) -> None:
    prompted = PromptedRow(row, (REQUEST, REQUEST), Cuts(3, 2, 1))
    pq.write_table(rows_to_table(type(row), [(ANN, prompted)], {"ann": 7}), tmp_path / "part.parquet")
    table = pq.read_table(tmp_path / "part.parquet")
    assert table.schema == schema_of(type(row))
    (found,) = table.to_pylist()
    assert row_from_dict(type(row), found) == row
    assert (found["row_id"], found["bucket"], found["split"]) == ("ann\x1fq:1", 7, "test")
    assert requests_from_structs(found["requests"]) == [REQUEST, REQUEST]
    assert (found["n_requests"], found["dropped_examples"], found["clipped_texts"], found["question_cut"]) == (
        2, 3, 2, 1,
    )  # fmt: skip


def test_the_order_of_answers_stays() -> None:
    """What comes first wins ties."""
    (found,) = rows_to_table(CandidateRow, [(ANN, PromptedRow(ROWS[2]))], {"ann": 0}).to_pylist()  # type: ignore[list-item]
    row = row_from_dict(CandidateRow, found)
    assert (list(row.answer_counts), list(row.topics)) == (["dune", "maple"], ["maple", "dune"])


def test_answers_stand_by_their_methods() -> None:
    answered = ROWS[3].answered([("a",), ("b", "c")])
    assert isinstance(answered, EvalRow)
    assert answered.by_method == {"greedy:zero_shot": ("a",), "samples:hydra": ("b", "c")}
    with pytest.raises(ValueError, match="shorter"):
        _ = ROWS[3].answered([("a",)]).by_method  # type: ignore[attr-defined]


def test_cuts_of_several_prompts_add_up() -> None:
    prompts = [Prompt((), 1, 2, 3, question_cut=True), Prompt((), 1, 1, 0), Prompt((), 1, 0, 0, question_cut=True)]
    assert Cuts.of(prompts) == Cuts(3, 3, 2)
    assert Cuts.of([]) == Cuts()


def write(folder: Path, name: str, rows: pa.Table) -> None:
    (folder / name).mkdir(parents=True)
    pq.write_table(rows, folder / name / "0.parquet")


def test_rows_are_read_user_by_user_with_their_answers(tmp_path: Path) -> None:
    def row(user: str, query: str) -> tuple[User, PromptedRow[Any]]:
        return User(user, "test"), PromptedRow(LabelRow(Row(user, query, "t", "g", ("x",)), (1.0,), (1.0,)), (REQUEST,))

    rows = [row("bob", "p:1"), row("ann", "p:2"), row("ann", "h:1"), row("eve", "p:1")]
    write(tmp_path, "queries", rows_to_table(LabelRow, rows, {"ann": 0, "bob": 1, "eve": 2}))
    answers = [{"row_id": "ann\x1fp:2", "bucket": 0, "texts": [["dune", "maple"]]}]
    write(tmp_path, "answers", pa.Table.from_pylist(answers))
    ann, bob = read_rows(LabelRow, tmp_path, [0, 1])
    free, prompted = rows[2][1].row, rows[1][1].row
    assert ann == RowsOfUser("ann", 0, (free, prompted.answered([("dune", "maple")])))
    assert (bob.user_id, bob.bucket, bob.rows) == ("bob", 1, (rows[0][1].row,))


def test_rows_of_another_version_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "queries", rows_to_table(StageRow, [(ANN, PromptedRow(ROWS[0]))], {"ann": 0}))
    assert [user.rows for user in read_rows(StageRow, tmp_path, [0])] == [(ROWS[0],)]
    with pytest.raises(UserError, match=r"no column 'normalized_scores', as another version of hydra_ray wrote them"):
        list(read_rows(LabelRow, tmp_path, [0]))
