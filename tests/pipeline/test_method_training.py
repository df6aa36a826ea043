"""Methods that train something share what they can; what a training is given of the users."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hydra_ray.core.labeling import Row
from hydra_ray.core.sampling import Trial, UserSample
from hydra_ray.pipeline.method_training import TrainingRun
from hydra_ray.pipeline.stage_rows import LabelRow, PromptedRow, rows_to_table
from hydra_ray.pipeline.summary_prompts import OF_USER
from tests.pipeline.fitted_world import users, write_users
from tests.pipeline.step_keys import make_job

ROWS = ("ropg_kd_k1", "ropg_kd_k4", "ropg_rl_k1", "ropg_rl_k4")


def test_rows_of_one_goal_share_a_training(tmp_path: Path) -> None:
    def keys(**changes: Any) -> list[str]:
        job, _ = make_job(tmp_path, evaluate={"methods": ROWS}, **changes)
        return [found.key for name in ROWS if (found := job.trained_method(Trial(0), name))]

    kd, kd_too, rl, rl_too = keys()
    assert (kd, rl) == (kd_too, rl_too)
    assert kd != rl
    for changes in (
        {"ropg": {"objective": "released"}},
        {"retrieval": {"use_date": True}},
        {"retrieval": {"top_n": 16}},
    ):
        assert not {kd, rl} & set(keys(**changes))
    assert keys(fit={"epochs": 3}, train={"epochs": 3, "max_failures": 0}) == [kd, kd_too, rl, rl_too]


def test_user_heads_are_of_the_retriever_whose_settings_they_share(tmp_path: Path) -> None:
    def keys(**changes: Any) -> list[str]:
        job, asked = make_job(tmp_path, evaluate={"methods": ["ropg_kd_user_k1", "ropg_kd_user_k4"]}, **changes)
        found = [job.trained_method(Trial(0), f"ropg_kd_user_k{k}") for k in (1, 4)]
        inputs = [read for name, read in asked["inputs"] if name == "train-method"]
        assert all("trained-ropg_kd_k1" in read and "feedback" in read for read in inputs if "trained-" in str(read))
        return [step.key for step in found if step]

    first, second = keys()
    assert first == second
    for changes in (
        {"ropg": {"epochs": 3}},
        {"fit": {"epochs": 3}},
        {"fit": {"guard": 0}},
        {"retrieval": {"top_n": 4}},
    ):
        assert first not in keys(**changes)
    assert keys(fit={"start": "joint"}) == [first, second]


@pytest.mark.parametrize("crossed", [False, True])
def test_evaluated_users_come_with_their_own_rows_and_no_question(tmp_path: Path, crossed: bool) -> None:
    write_users(tmp_path)
    job, _ = make_job(tmp_path, data={"task": "synthetic_tagging"})
    job.run.log = job.run.ray = print  # type: ignore[method-assign, assignment]
    of_role = {role: [user for user, _ in users() if user.split == role] for role in ("train", "test")}
    tested, trained = of_role["test"][:3], of_role["train"][:2]
    rows = [
        (replace(user, split="train" if crossed else user.split), PromptedRow(
            LabelRow(Row(user.user_id, query_id, "what?", "amber", (user.items[0].text,), known), (0.5,), (1.0,))
        ))
        for user in (*tested, *trained)
        for query_id, known in (("p:1", ()), ("h:1", (1.0,)), *((("q:1", ()),) if crossed else ()))
    ]  # fmt: skip
    (tmp_path / "label" / "queries").mkdir(parents=True)
    table = rows_to_table(LabelRow, rows, {user.user_id: bucket for user, bucket in users()})
    pq.write_table(table, tmp_path / "label" / "queries" / "part.parquet")
    everybody = {user.user_id: user.split for user in (*tested, *trained)}
    ids = tuple(user.user_id for user in trained), tuple(user.user_id for user in tested)
    sample = UserSample(*ids, everybody, crossed)  # type: ignore[arg-type]
    training = TrainingRun(job.run, Trial(0), tmp_path, tmp_path, sample, tmp_path / "label")
    found = dict(training.own_feedback())
    assert {user.user_id for user in found} == set(ids[1])
    for user, own in found.items():
        assert user.items
        assert [(row.user_id, row.query_id) for row in own] == [(user.user_id, "h:1"), (user.user_id, "p:1")]
    assert {row.user_id for row in training.feedback()} == set(ids[0])


def test_prompts_show_the_summary_of_the_user_whose_item_is_asked(tmp_path: Path) -> None:
    write_users(tmp_path)
    job, _ = make_job(tmp_path, data={"task": "synthetic_tagging"})
    job.run.log = print  # type: ignore[method-assign]
    job.run.ray = print  # type: ignore[method-assign, assignment]
    everybody = {user.user_id: user.split for user, _ in users()}
    first, second, *_ = (name for name, split in everybody.items() if split == "train")
    tested = next(name for name, split in everybody.items() if split == "test")
    sample = UserSample((first, second), (tested,), {name: everybody[name] for name in (first, second, tested)})
    summaries = {(name, OF_USER): f"likes {name}." for name in (first, tested)}
    training = TrainingRun(job.run, Trial(0), tmp_path, tmp_path, sample, None, summaries=summaries)
    for found, names in (
        (list(training.prompts(lambda question: question.greedy((), question.summary))), {first, second}),
        (list(training.history_prompts(lambda question: question.greedy((), question.summary))), {tested}),
    ):
        assert {prompt.user_id for prompt in found} == names
        for prompt in found:
            likes = [name for name in everybody if f"About this person: likes {name}." in prompt.prompt]
            assert likes == ([] if prompt.user_id == second else [prompt.user_id])


def test_what_shows_summaries_in_training_reads_them_and_nothing_else_does(tmp_path: Path) -> None:
    job, asked = make_job(tmp_path, evaluate={"methods": ["oppu_pag_k1", "oppu_k0"]})
    for row in ("oppu_pag_k1", "oppu_k0"):
        job.trained_method(Trial(0), row)
    inputs = [found for name, found in asked["inputs"] if name == "train-method"]
    assert ["summaries" in found for found in inputs] == [True, True, False, False]
    assert [name for name, _ in asked["inputs"]].count("summarise-users") == 1
