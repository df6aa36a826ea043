"""Following, listing and stopping jobs, with a cluster's head that goes and comes back."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from hydra_ray.errors import UserError
from hydra_ray.jobs import commands
from hydra_ray.jobs.client import LOST_S, Job, JobClient
from hydra_ray.jobs.follow import exit_code, follow, follow_to_the_end

AWAY = requests.exceptions.ConnectionError("Connection refused")
UNKNOWN = RuntimeError("Request failed with status code 404: Job j1 does not exist.")


def info(status: str, *, code: int | None = None, job: str = "j1", message: str = "", start: int = 0) -> Any:
    return SimpleNamespace(
        submission_id=job, job_id=None, status=SimpleNamespace(value=status), message=message, driver_exit_code=code,
        start_time=start, metadata={"run": "quickstart", "stage": "run"},
    )  # fmt: skip


class Head:
    """A head that gives the scripted answers in turn, the last one for ever; exceptions are raised."""

    def __init__(self, infos: list[Any], logs: Sequence[Any] = ("",)) -> None:
        self.scripts = {"info": infos, "logs": list(logs)}
        self.submitted: list[dict[str, Any]] = []
        self.refusals: list[Exception] = []

    def _next(self, name: str) -> Any:
        script = self.scripts[name]
        found = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(found, Exception):
            raise found
        return found

    def get_job_info(self, job_id: str) -> Any:
        return self._next("info")

    def get_job_logs(self, job_id: str) -> Any:
        return self._next("logs")

    def list_jobs(self) -> Any:
        return self._next("info")

    def stop_job(self, job_id: str) -> Any:
        return self._next("info")

    def submit_job(self, **about: Any) -> str:
        if self.refusals:
            raise self.refusals.pop(0)
        self.submitted.append(about)
        return f"j{len(self.submitted)}"


def client_of(head: Head) -> JobClient:
    """A client whose time passes by its pauses alone."""
    now = [0.0]

    def pause(seconds: float) -> None:
        now[0] += seconds

    return JobClient("http://head:8265", head, lambda: now[0], pause)


def no_pause(_: float) -> None:
    """At once."""


def test_lines_come_once_each_until_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    head = Head([info("RUNNING"), info("RUNNING"), info("SUCCEEDED", code=0)], ["a\n", "a\nb\n", "a\nb\nc\n"])
    assert exit_code(follow(client_of(head), "j1", no_pause)) == 0
    assert capsys.readouterr().out == "a\nb\nc\nj1: SUCCEEDED\n"


def test_a_head_that_is_away_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    gone = RuntimeError("Request failed with status code 503: no.")
    head = Head([info("RUNNING"), AWAY, AWAY, gone, info("SUCCEEDED", code=0)], ["a\n", "a\nb\n"])
    assert follow(client_of(head), "j1", no_pause).status == "SUCCEEDED"
    printed = capsys.readouterr().out
    assert printed.count("http://head:8265 does not answer (Connection refused); trying again") == 1
    assert printed.endswith("a\nb\nj1: SUCCEEDED\n".removeprefix("a\n"))


def test_a_head_that_stays_away_is_one_line_that_says_how_to_go_on() -> None:
    head = Head([AWAY])
    with pytest.raises(UserError, match=rf"not answered for {LOST_S / 60:g} minutes .*jobs logs --follow j1"):
        client_of(head).job("j1")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UNKNOWN, "knows no job j1; see: hydra-ray jobs list"),
        (RuntimeError("status code 401: no token"), "status code"),
    ],
)
def test_mistakes_are_no_reason_to_wait(error: Exception, message: str) -> None:
    with pytest.raises(UserError, match=message):
        client_of(Head([error])).job("j1")


@pytest.mark.parametrize(
    ("ended", "code"), [(info("FAILED", code=2), 2), (info("FAILED"), 1), (info("STOPPED"), 1), (info("SUCCEEDED"), 0)]
)
def test_the_exit_code_is_the_drivers(ended: Any, code: int) -> None:
    assert exit_code(follow(client_of(Head([ended])), "j1", no_pause)) == code


def end(head: Head, restarts: int) -> int:
    client = client_of(head)
    start: Callable[[], str] = lambda: client.submit("python -m x", {}, {})  # noqa: E731
    return follow_to_the_end(client, start(), start, restarts, no_pause)


def test_a_job_that_was_lost_with_its_node_is_submitted_again(capsys: pytest.CaptureFixture[str]) -> None:
    head = Head([info("FAILED", message="the node died"), info("SUCCEEDED", code=0)])
    assert end(head, 3) == 0
    assert len(head.submitted) == 2
    printed = capsys.readouterr().out
    assert "j1: FAILED (the node died)\nj1 was lost; j2 goes on from what it has finished\n" in printed


def test_so_is_one_that_a_new_head_does_not_know() -> None:
    head = Head([info("RUNNING"), AWAY, UNKNOWN, info("SUCCEEDED", code=0)])
    assert end(head, 1) == 0
    assert len(head.submitted) == 2
    with pytest.raises(UserError, match="knows no job"):
        end(Head([UNKNOWN]), 0)


def test_a_job_that_fails_by_itself_is_not_submitted_again() -> None:
    head = Head([info("FAILED", code=2)])
    assert end(head, 3) == 2
    assert len(head.submitted) == 1


def test_restarts_end() -> None:
    head = Head([info("FAILED")])
    assert end(head, 2) == 1
    assert len(head.submitted) == 3


def test_a_young_clusters_agent_is_waited_for() -> None:
    head = Head([info("RUNNING")])
    head.refusals = [RuntimeError("No available agent to submit job"), RuntimeError("No available agent to submit job")]
    assert client_of(head).submit("python -m x", {"A": "b"}, {"run": "q"}) == "j1"
    assert head.submitted == [
        {"entrypoint": "python -m x", "runtime_env": {"env_vars": {"A": "b"}}, "metadata": {"run": "q"}}
    ]


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (RuntimeError("no such working_dir\nmore"), "refused the job: no such working_dir$"),
        (AWAY, "see whether it runs"),
    ],
)
def test_a_job_is_never_submitted_twice_by_mistake(refusal: Exception, message: str) -> None:
    head = Head([info("RUNNING")])
    head.refusals = [refusal]
    with pytest.raises(UserError, match=message):
        client_of(head).submit("python -m x", {}, {})
    assert head.submitted == []


def test_jobs_in_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    notebook = info("RUNNING")
    notebook.submission_id = None  # a driver that was not submitted
    head = Head([[info("RUNNING", job="late", start=2_000_000_000_000), info("FAILED", job="early"), notebook]])
    found = client_of(head).jobs()
    assert [job.job_id for job in found] == ["early", "late"]
    assert commands.line(found[1]) == "late  RUNNING    2033-05-18 03:33  run quickstart"
    assert commands.line(Job("j", "PENDING", "", None, None, {})) == "j  PENDING    -                 - -"
