"""Following jobs to their end, with a head that goes and comes back."""

from collections.abc import Callable
from typing import Any

import pytest

from hydra_ray.errors import UserError
from hydra_ray.jobs.follow import exit_code, follow, follow_to_the_end
from tests.jobs.head import AWAY, UNKNOWN, Head, client_of, info, no_pause


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
