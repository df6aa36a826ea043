"""What the commands print of jobs."""

import pytest

from hydra_ray.jobs import commands
from hydra_ray.jobs.client import Job
from tests.jobs.head import Head, client_of, info


def test_jobs_in_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    notebook = info("RUNNING")
    notebook.submission_id = None  # a driver that was not submitted
    head = Head([[info("RUNNING", job="late", start=2_000_000_000_000), info("FAILED", job="early"), notebook]])
    found = client_of(head).jobs()
    assert [job.job_id for job in found] == ["early", "late"]
    assert commands.line(found[1]) == "late  RUNNING    2033-05-18 03:33  run quickstart"
    assert commands.line(Job("j", "PENDING", "", None, None, {})) == "j  PENDING    -                 - -"
