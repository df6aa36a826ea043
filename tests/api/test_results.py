"""A finished run as tables."""

import json
from pathlib import Path

import pytest

import hydra_ray
from tests.api.finished_run import TASK, made_users, write_finished


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


def test_a_run_is_found_by_its_name(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run_folder.parent.parent)
    assert hydra_ray.load_run("quickstart").folder == run_folder
    assert hydra_ray.load_run("runs/quickstart").name == "quickstart"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: (run / "report.json").unlink(), "report.json: No such file or directory; the run is incomplete"),
        (lambda run: (run / "report.json").write_text('{"config": {"no": 1}}'), "made by another hydra_ray"),
        (lambda run: (run / "steps.json").unlink(), "steps.json: is missing; finish the run"),
    ],
)
def test_an_unfinished_run_is_one_clear_error(tmp_path: Path, spoil: object, message: str) -> None:
    run = write_finished(tmp_path)
    spoil(run)  # type: ignore[operator]
    with pytest.raises(hydra_ray.UserError, match=message):
        hydra_ray.load_run(run).predictions()


def test_what_is_not_there(run_folder: Path) -> None:
    with pytest.raises(hydra_ray.UserError, match="nowhere: there is no such run; give a run's folder"):
        hydra_ray.load_run("nowhere")
    with pytest.raises(hydra_ray.UserError, match=r"no answers of a method 'magic'; there are .*hydra"):
        hydra_ray.load_run(run_folder).predictions("magic")
