"""Submitting a stage to a cluster through Ray's job client."""

import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from tenacity import Retrying, retry_if_exception_message, stop_after_delay, wait_fixed

from hydra_ray.config import load_config
from hydra_ray.env import RAY_DASHBOARD_ADDRESS, read
from hydra_ray.errors import UserError
from hydra_ray.jobs.parcel import notes, pack
from hydra_ray.utils import ray_token

POLL_SECONDS = 2.0
AGENT_SECONDS = 180.0
"""On a busy machine the agent of a new cluster has taken more than 90 seconds to start."""


def submit(stage: str, config: Path | None, overrides: Sequence[str], address: str | None, *, wait: bool = True) -> int:
    """Submits `python -m hydra_ray.cli STAGE` with the resolved config; returns the job's exit code (0: succeeded).

    The cluster's machines must have this package installed; config and task file travel inside the entrypoint's
    environment (see `hydra_ray.jobs.parcel`). Raises UserError: bad config, a relative root, no cluster at the address,
    no token or a wrong one, job refused.
    """
    resolved = load_config(config, overrides)
    variables = pack(resolved)
    target = address or read(RAY_DASHBOARD_ADDRESS) or "http://127.0.0.1:8265"
    print(f"submitting to {target} {ray_token.send()}", flush=True)
    for line in notes(resolved):
        print(line, flush=True)
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobStatus, JobSubmissionClient

    try:
        client = JobSubmissionClient(target)
    except AuthenticationError as error:
        first = str(error).strip().splitlines()[0].rstrip(".")
        raise UserError(f"--address {target}: {first}; {ray_token.ADVICE}") from None
    except (ConnectionError, RuntimeError) as error:
        raise UserError(f"--address {target}: no Ray cluster answers there ({str(error).splitlines()[0]})") from None
    # A cluster that has just started answers before its job agent is there.
    patient = Retrying(
        retry=retry_if_exception_message(match=".*No available agent.*"),
        stop=stop_after_delay(AGENT_SECONDS),
        wait=wait_fixed(POLL_SECONDS),
        reraise=True,
    )
    try:
        job = patient(
            client.submit_job,
            entrypoint=f"python -m hydra_ray.job_entry {shlex.quote(stage)}",
            runtime_env={"env_vars": variables},
        )
    except RuntimeError as error:
        raise UserError(f"--address {target}: the cluster refused the job: {str(error).splitlines()[0]}") from None
    print(f"submitted {job} to {target}", flush=True)
    if not wait:
        return 0
    shown = 0
    while True:
        status = client.get_job_status(job)
        logs = client.get_job_logs(job)
        print(logs[shown:], end="", flush=True)
        shown = len(logs)
        if status in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED):
            print(f"{job}: {status}", flush=True)
            return 0 if status == JobStatus.SUCCEEDED else 1
        time.sleep(POLL_SECONDS)
