"""Rows of users in the run's own process and on workers, and what the written answers of a stage are worth."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hydra_ray.config import ResourcesConfig
from hydra_ray.config.resources import WorkerResources
from hydra_ray.core.types import User, user_to_row
from hydra_ray.errors import UserError
from hydra_ray.llm.mapper import append_answers
from hydra_ray.llm.types import Completion
from hydra_ray.llm.usability import Wanted
from hydra_ray.pipeline.llm_rows import Asking, MakeBatch, _make_rows, refused_line, tally_of
from hydra_ray.pipeline.stage_prompts import LabelPrompts
from tests.llm.test_usability import COLOURS
from tests.pipeline.fitted_world import make_config, users, write_users

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


def rows_of_some(folder: Path, few_in_driver: bool) -> pa.Table:
    """The label rows of half the users of `fitted_world`, by id."""
    config = make_config(folder)
    resources = ResourcesConfig(score=WorkerResources(num_workers=2), few_in_driver=few_in_driver)
    run: Any = SimpleNamespace(
        config=config.model_copy(update={"resources": resources}), workers=lambda wanted: wanted.bounds
    )
    chosen: Asking = {user.user_id: (user.split, "train") for user, _ in users()[::2]}
    make = MakeBatch(LabelPrompts, (config.model_dump(mode="json"), 0, None), chosen)
    made = folder / f"queries-{few_in_driver}"
    _make_rows(run, folder / "ingest", make, made)
    return pq.read_table(made).sort_by("row_id")


def test_rows_of_few_users_are_made_without_ray(tmp_path: Path) -> None:
    write_users(tmp_path / "ingest")
    table = rows_of_some(tmp_path, few_in_driver=True)
    chosen = {user.user_id: bucket for user, bucket in users()[::2]}
    assert dict(zip(*(table[name].to_pylist() for name in ("user_id", "bucket")), strict=True)) == chosen
    assert set(table["split"].to_pylist()) == {"train"}
    assert sum(table["n_requests"].to_pylist()) > 0


@pytest.mark.cluster
def test_workers_make_the_same_rows(tmp_path: Path, cluster: str) -> None:
    write_users(tmp_path / "ingest")
    assert rows_of_some(tmp_path, few_in_driver=False).equals(rows_of_some(tmp_path, few_in_driver=True))
