"""For history that grows elsewhere, every night: fits the users whose history has changed, and gives items and heads to
the service, which runs meanwhile.

Killed at any moment and called again it goes on: finished steps are found again, and a state is brought up to a run by
changes that may be made twice.
"""

from dataclasses import dataclass
from pathlib import Path

from hydra_ray.config import Config
from hydra_ray.core.sampling import Trial
from hydra_ray.errors import UserError
from hydra_ray.pipeline.job import Pipeline
from hydra_ray.pipeline.previous_run import write_steps
from hydra_ray.pipeline.run_archive import SERVING
from hydra_ray.pipeline.run_context import RunContext
from hydra_ray.serve.bundle import COMPONENTS
from hydra_ray.serve.state.update_state import Served, served_from, update_state
from hydra_ray.utils.file_lock import exclusive_lock

LOCK = ".refit.lock"


@dataclass(frozen=True)
class Refit:
    """What is fitted, and whose service gets it.

    Attributes:
        config: Of the run of the fits; `fit.base_run` is the run that is served.
        state: The service's state folder (None: in the folder of that run).
        database: Where the service keeps its users, if not in files.
        add_users: Whether users that the service does not know are added.
    """

    config: Config
    state: Path | None
    database: str | None
    add_users: bool


def refit(asked: Refit) -> str:
    """Brings the service up to the histories that the configuration names now, once at a time.

    Only what the service uses is fitted: the seed and the heads that it serves.

    Returns:
        What was done, in words.

    Raises:
        UserError: the state is not this run's or cannot be reached (before anything is paid for), or what
            `fit-users --base-run` refuses.
    """
    with RunContext(asked.config, "fit-users") as run:
        run.check_local()
        job = Pipeline(run)
        if job.since is None:
            raise UserError("refit: whose service is it? name the run that is served with --base-run (or fit.base_run)")
        base = job.since.folder
        if base == run.folder:
            raise UserError(
                f"name: {run.folder.name} is the base run itself; give the run of the fits a name of its own"
            )
        folder = asked.state or base / SERVING
        served = served_from(base, folder, asked.database)
        if asked.config.protocol.cross_fitted:
            raise UserError("protocol.folds: the served run has none; take it out, as in that run's configuration")
        served.where.open_users(served.bundle.config.data.buckets).close()
        run.claim_name()
        with exclusive_lock(folder / LOCK, lambda line: run.log(f"refit: {line} ({folder})")):
            served = served_from(base, folder, asked.database)  # another may have been at it
            if job.ingest().path.name == served.users.name:
                return f"no new history since {served.users.name}, nothing to do"
            fitted = _fit(job, served)
            return f"{fitted} users fitted anew, {update_state(served, run.folder, asked.add_users)}"


def _fit(job: Pipeline, served: Served) -> int:
    """Fits what the service serves and notes the steps; returns how many users have a head or two made now."""
    trial = Trial(served.bundle.seed)
    counts = [job.fit(component, trial).manifest["counts"] for component in COMPONENTS]
    write_steps(job.run.folder, {label: result.key for label, result in job.results.items()})
    job.run.publish()
    return max(int(count["users"]) - int(count.get("reused", 0)) for count in counts)
