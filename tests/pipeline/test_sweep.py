"""One run for each value, whatever becomes of the others."""

from pathlib import Path
from typing import Any

import pytest

from hydra_ray.config import Config
from hydra_ray.core.grid import parse_grid
from hydra_ray.errors import UserError
from hydra_ray.pipeline import sweep
from hydra_ray.pipeline.previous_run import STEPS, write_steps
from hydra_ray.pipeline.run_archive import RunArchive
from hydra_ray.pipeline.sweep import Sweep, budget_lines
from tests.report.made_up import TAGGING, made_up_rows, report_of


def sweep_of(tmp_path: Path, *words: str, methods: str | None = None, content: str = "") -> Sweep:
    file = tmp_path / "mine.yaml"
    file.write_text(content)
    return Sweep(file, parse_grid([f"root={tmp_path}", *words]), methods)


def test_each_run_has_a_name_and_a_configuration_of_its_own(tmp_path: Path) -> None:
    runs = sweep_of(tmp_path, "protocol.train_users=25,50", "model.head=dense", content="train: {epochs: 3}").runs
    assert [config.name for _, config in runs] == ["mine-train_users-25", "mine-train_users-50"]
    assert [config.protocol.train_users for _, config in runs] == [25, 50]
    assert {(config.model.head, config.train.epochs, config.root) for _, config in runs} == {
        ("dense", 3, str(tmp_path))
    }


def test_a_mistake_in_one_value_is_found_before_any_run_begins(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"protocol.train_users=many.*valid integer"):
        sweep_of(tmp_path, "protocol.train_users=25,many")
    with pytest.raises(UserError, match="no such config file"):
        Sweep(tmp_path / "gone.yaml", parse_grid(["a.b=1,2"]))


def test_a_key_that_must_be_given_may_be_swept(tmp_path: Path) -> None:
    runs = sweep_of(
        tmp_path, f"data.root={tmp_path},{tmp_path / 'b'}", content="data: {source: lamp, task: lamp_3}"
    ).runs
    assert [config.data.root for _, config in runs] == [str(tmp_path), str(tmp_path / "b")]


def test_methods_that_are_named_are_run(tmp_path: Path) -> None:
    made = sweep_of(
        tmp_path, "reranker.top_k=1,2", methods="hydra,dense_k4", content="evaluate: {methods: [recency_k1]}"
    )
    assert made.methods == ("dense_k4", "hydra")
    assert {config.evaluate.methods for _, config in made.runs} == {("recency_k1", "dense_k4")}


def test_methods_themselves_may_be_swept(tmp_path: Path) -> None:
    made = sweep_of(tmp_path, "evaluate.methods=[dense_k1],[dense_k4]")
    assert [config.evaluate.methods for _, config in made.runs] == [("dense_k1",), ("dense_k4",)]


def test_a_run_that_fails_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[int | None] = []

    def run_one(config: Config) -> dict[str, Any]:
        done.append(config.protocol.train_users)
        if config.protocol.train_users == 50:
            raise UserError("llm: the server\nis gone")
        return report_of(made_up_rows(TAGGING, users=5, each=1, seeds=1))

    monkeypatch.setattr(sweep, "run_one", run_one)
    made = sweep_of(tmp_path, "protocol.train_users=25,50,100")
    assert made.run() == 2
    assert done == [25, 50, 100]
    shown = capsys.readouterr()
    assert "sweep: protocol.train_users=50 failed: llm: the server is gone\n" in shown.err
    assert "1 of 3 runs failed; the same command goes on with them" in shown.err
    assert "protocol.train_users=50 failed: llm: the server is gone" in shown.out
    assert made.folder == tmp_path / "sweeps" / "mine-protocol.train_users"
    assert (made.folder / "sweep.html").exists()


def test_where_every_run_fails_there_is_no_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_one(config: Config) -> dict[str, Any]:
        raise UserError(f"{config.name}: no")

    monkeypatch.setattr(sweep, "run_one", run_one)
    made = sweep_of(tmp_path, "protocol.train_users=25,50")
    assert made.run() == 2
    assert capsys.readouterr().out == ""
    assert not made.folder.exists()


def test_a_budget_holds_for_each_run() -> None:
    config = Config.model_validate({"llm": {"max_calls": 100}})
    assert budget_lines([config] * 3) == ["llm.max_calls holds for each run; for all 3 together it is 300"]
    assert budget_lines([config, Config()]) == ["llm.max_calls is not set for every run"]
    assert budget_lines([Config()] * 2) == []


def test_each_run_of_a_sweep_gets_into_its_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(job: Any) -> tuple[list[Any], dict[str, Any]]:
        write_steps(job.run.folder, {})
        return [], {"methods": {}}

    monkeypatch.setattr(sweep, "whole_run", made)
    url = f"file://{tmp_path}/archive"
    (_, config), *_ = sweep_of(tmp_path, "protocol.train_users=25,50", f"archive={url}").runs
    sweep.run_one(config)
    RunArchive(url, tmp_path / "other", print).fetch_run(config.name)
    assert (tmp_path / "other" / config.name / STEPS).exists()
