"""Following a job to its end: its lines as they come, over lost connections, and again if it went with its node."""

import time
from collections.abc import Callable

from hydra_ray.jobs.client import POLL_S, Job, JobClient, UnknownJobError

LOST_EXIT = 1
"""Exit code of a job that ended without one of its own."""


def follow(client: JobClient, job_id: str, pause: Callable[[float], None] = time.sleep) -> Job:
    """Prints a job's lines until it has ended; returns how."""
    shown = 0
    while True:
        job, logs = client.job(job_id), client.logs(job_id)
        if len(logs) < shown:
            shown = 0  # a new head has the log from its beginning
        print(logs[shown:], end="", flush=True)
        shown = len(logs)
        if job.ended:
            print(f"{job_id}: {job.status}{_why(job)}", flush=True)
            return job
        pause(POLL_S)


def follow_to_the_end(
    client: JobClient,
    job_id: str,
    submit: Callable[[], str],
    restarts: int,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Follows a job, submitting it again where it was lost with its node; returns its exit code.

    Args:
        client: Of the cluster.
        job_id: The job.
        submit: Submits the same again; returns the new id.
        restarts: How often at most.
        pause: Waits so many seconds.
    """
    while True:
        try:
            job = follow(client, job_id, pause)
            if not job.lost or not restarts:
                return exit_code(job)
        except UnknownJobError:
            # It was known: this head is a new one, and no node of the old one works for it.
            if not restarts:
                raise
        restarts -= 1
        again = submit()
        print(f"{job_id} was lost; {again} goes on from what it has finished", flush=True)
        job_id = again


def exit_code(job: Job) -> int:
    """0 for success, else the driver's own exit code."""
    if job.status == "SUCCEEDED":
        return 0
    return job.exit_code or LOST_EXIT


def _why(job: Job) -> str:
    return f" ({job.message[:300]})" if job.message and job.status != "SUCCEEDED" else ""
