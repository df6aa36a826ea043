"""Submitting a stage, to a head made up in this process."""

from pathlib import Path
from typing import Any

import pytest

from hydra_ray.errors import UserError
from hydra_ray.jobs import follow as following
from hydra_ray.jobs import submit as submitting
from tests.jobs.head import Head, client_of, info


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Head:
    made = Head([info("SUCCEEDED", code=0)], ["done\n"])

    def connect(address: Any) -> Any:
        assert address == "http://head:8265"
        return client_of(made)

    monkeypatch.setattr(submitting, "JobClient", connect)
    monkeypatch.setattr(following.time, "sleep", lambda _: None)
    return made


def test_the_job_runs_the_stage_and_is_followed(head: Head, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ["name=mine", f"root={tmp_path}"]
    assert submitting.submit("label", None, overrides, "http://head:8265") == 0
    (job,) = head.submitted
    assert job["entrypoint"] == "python -m hydra_ray.job_entry label"
    assert (job["metadata"]["run"], job["metadata"]["stage"]) == ("mine", "label")
    assert str(tmp_path) in "".join(job["runtime_env"]["env_vars"].values())
    assert capsys.readouterr().out.endswith("done\nj1: SUCCEEDED\n")


def test_without_waiting_it_says_how_to_follow(head: Head, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert submitting.submit("run", None, [f"root={tmp_path}"], "http://head:8265", wait=False) == 0
    assert "hydra-ray jobs logs --follow j1 --address http://head:8265" in capsys.readouterr().out


def test_a_relative_root_is_refused_before_anything_is_sent(head: Head) -> None:
    with pytest.raises(UserError, match="root: 'runs' is relative"):
        submitting.submit("run", None, [], "http://head:8265")
    assert head.submitted == []
