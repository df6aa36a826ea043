"""What the written answers of a stage are worth."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hydra_ray.core.types import User, user_to_row
from hydra_ray.errors import UserError
from hydra_ray.llm.mapper import append_answers
from hydra_ray.llm.types import Completion
from hydra_ray.llm.usability import Wanted
from hydra_ray.pipeline.llm_rows import MakeBatch, refused_line, tally_of
from tests.llm.test_usability import COLOURS

REFUSED = Completion((), error="HTTP 400: flagged", permanent=True)


def test_answers_are_judged_as_they_were_written(tmp_path: Path) -> None:
    wanted = Wanted("label seed 0", COLOURS, 8)
    assert tally_of(tmp_path / "answers", wanted).answers == 0
    (tmp_path / "answers").mkdir()
    rows = [
        [Completion(("red", "blue"), finish=("stop", "stop"))] * 4,
        [Completion(("red, as",), finish=("length",)), Completion(("",), finish=("thinking",)), REFUSED],
    ]
    for i, row in enumerate(rows):
        pq.write_table(append_answers(pa.table({"row_id": [str(i)]}), [row]), tmp_path / "answers" / f"{i}.parquet")
    tally = tally_of(tmp_path / "answers", wanted)
    assert (tally.answers, tally.cut, dict(tally.faults)) == (11, 1, {"thinking": 1, "refused": 1})
    assert not tally.too_many
    assert refused_line(tmp_path / "answers", 1) == (
        "1 answers are missing for good, recorded with the reason (1 x HTTP 400: flagged)"
    )


class Broken:
    """A maker that cannot be made."""

    def __init__(self) -> None:
        raise UserError("model.encoder: no such folder")


def test_a_maker_that_cannot_be_made_says_so_in_a_call_which_the_driver_hears_of() -> None:
    make = MakeBatch(Broken, (), {"u": ("train", "train")})
    with pytest.raises(UserError, match="no such folder"):
        make(pa.Table.from_pylist([user_to_row(User("u", "train"), 0)]))
