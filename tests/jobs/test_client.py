"""Ray's job client, patient."""

import pytest

from hydra_ray.errors import UserError
from hydra_ray.jobs.client import LOST_S
from tests.jobs.head import AWAY, UNKNOWN, Head, client_of, info


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
