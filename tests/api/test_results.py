"""A finished run as tables."""

import json
from pathlib import Path

import hydra_ray
from tests.api.finished_run import TASK, made_users


def test_metrics_are_the_reports(run_folder: Path) -> None:
    table = hydra_ray.load_run(run_folder).metrics()
    report = json.loads((run_folder / "report.json").read_text())
    assert list(table.index) == list(report["methods"])
    assert list(table.columns) == ["accuracy", "macro_f1"]
    assert table.loc["hydra", "accuracy"] == report["methods"]["hydra"]["accuracy"]
    assert table.index.name == "method"


def test_one_row_a_question_with_what_it_was_chosen_from(run_folder: Path) -> None:
    table = hydra_ray.load_run(run_folder).predictions()
    users = made_users()
    assert list(table["user"]) == [user.user_id for user in users]
    for row, user in zip(table.itertuples(), users, strict=True):
        (question,) = user.questions
        assert (row.seed, row.question, row.text, row.gold) == (0, question.question_id, question.text, question.gold)
        assert row.answer in row.candidates
        assert set(row.candidates) == {item.answer for item in user.items}
    accuracy = (table["answer"] == table["gold"]).mean()
    assert accuracy == hydra_ray.load_run(run_folder).metrics().loc["hydra", "accuracy"]


def test_a_method_that_does_not_choose_has_its_answer_alone(run_folder: Path) -> None:
    run = hydra_ray.load_run(run_folder)
    assert all(row.candidates == [row.answer] for row in run.predictions("bm25_k1").itertuples())
    chosen = run.predictions("self_consistency")
    assert all(row.answer in row.candidates and set(row.candidates) <= set(TASK.labels) for row in chosen.itertuples())
