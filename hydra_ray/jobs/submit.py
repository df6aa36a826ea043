"""Submitting a stage to a cluster through Ray's job client."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from hydra_ray.config import load_config
from hydra_ray.jobs.client import JobClient
from hydra_ray.jobs.follow import follow_to_the_end
from hydra_ray.jobs.parcel import notes, pack
from hydra_ray.version import __version__


def submit(
    stage: str,
    config: Path | None,
    overrides: Sequence[str],
    address: str | None,
    *,
    wait: bool = True,
    restarts: int = 0,
) -> int:
    """Submits `python -m hydra_ray.cli STAGE` with the resolved config; returns the job's exit code (0: succeeded).

    The cluster's machines must have this package installed; config and task file travel inside the entrypoint's
    environment (see `hydra_ray.jobs.parcel`). restarts: how often a job that was lost with its node is submitted again.
    Raises UserError: bad config, a relative root, no cluster at the address, no token or a wrong one, job refused, a
    head that stays away.
    """
    resolved = load_config(config, overrides)
    variables = pack(resolved)
    client = JobClient(address)
    print(f"submitting to {client.address} {client.token}", flush=True)
    for line in notes(resolved):
        print(line, flush=True)
    metadata = {"hydra_ray": __version__, "run": resolved.name, "stage": stage}

    def start() -> str:
        return client.submit(f"python -m hydra_ray.job_entry {shlex.quote(stage)}", variables, metadata)

    job = start()
    print(f"submitted {job} to {client.address}", flush=True)
    if not wait:
        print(f"follow it with: hydra-ray jobs logs --follow {job} --address {client.address}", flush=True)
        return 0
    return follow_to_the_end(client, job, start, restarts)
