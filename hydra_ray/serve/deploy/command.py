"""Deploying a Serve config file to a running cluster: check, submit, wait until it answers; undo what does not."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra_ray.env import RAY_DASHBOARD_ADDRESS, read
from hydra_ray.errors import UserError
from hydra_ray.serve.deploy.cluster import ADDRESS, Cluster
from hydra_ray.serve.deploy.config_file import check_file
from hydra_ray.serve.deploy.details import (
    clashing,
    files_before,
    line_of,
    running_now,
    served_at,
    states,
    touched,
    unlike,
    urls_of,
)
from hydra_ray.serve.deploy.paths import places, resolved
from hydra_ray.serve.deploy.probe import UnreachedError, check, probes
from hydra_ray.utils import ray_token
from hydra_ray.utils.ray_errors import root_cause_line

POLL_S = 1.0
LOG_EVERY_S = 10.0
TIMEOUT_S = 1800.0
"""Machines that an autoscaler adds and large weights take long."""


def deploy(
    file: Path,
    address: str | None,
    *,
    check_only: bool = False,
    yes: bool = False,
    keep_failed: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> int:
    """Checks the file, submits it to the cluster's dashboard and returns 0 once every application gives answers.

    Says first where it goes, what it serves from where, and what becomes of what runs there. What fails is undone: the
    applications that were deployed before come back.

    Args:
        file: Serve config file.
        address: of the dashboard; None: RAY_DASHBOARD_ADDRESS, else ADDRESS.
        check_only: whether to stop after the check, which needs no cluster.
        yes: whether applications of other names may be removed or replaced without asking.
        keep_failed: whether what fails stays as it is, to be looked at.
        timeout_s: until everything must run.

    Raises:
        UserError: a mistake in the file, a relative path for another machine, no cluster at the address, the cluster
            serves at another port already, others' applications in the way, an application that does not start or gives
            no answers.
    """
    config = check_file(file)
    names = [application.get("name", "default") for application in config["applications"]]
    if check_only:
        print(f"{file}: nothing wrong found; applications: {', '.join(names)}")
        return 0
    target, whose = _target(address)
    token = ray_token.send()  # before Ray is imported
    cluster = Cluster(target)
    config = resolved(config, target, Path.cwd())
    before = cluster.details()
    _log(f"cluster: {target} ({whose}), {token}")
    for line in (*places(config), *running_now(names, before)):
        _log(line)
    if differing := list(unlike(config, before)):
        raise UserError(
            f"{file}: Serve runs at {cluster.address} with {'; '.join(differing)}: these cannot be changed while it "
            "runs; take its values, or end it with `serve shutdown` first"
        )
    if in_the_way := clashing(config, before):
        raise UserError(f"{file}: {'; '.join(in_the_way)}; give another route_prefix, or remove that one first")
    _agree(touched(names, before), target, yes)
    cluster.submit(config)
    try:
        _wait(cluster, names, timeout_s)
        _try_answers(cluster, config)
    except UserError as failure:
        undone = "it is left as it is (--keep-failed)" if keep_failed else _undo(cluster, config, before, timeout_s)
        raise UserError(f"{failure}; {undone}") from None
    for line in served_at(names, cluster.details()):
        print(line)
    return 0


def _target(address: str | None) -> tuple[str, str]:
    """The dashboard's address, and who says so."""
    if address:
        return address, "--address"
    variable = read(RAY_DASHBOARD_ADDRESS)
    return (variable, RAY_DASHBOARD_ADDRESS.name) if variable else (ADDRESS, "the default; --address names another")


def _agree(changes: Sequence[str], target: str, yes: bool) -> None:
    """Raises UserError unless what others may miss may go."""
    if not changes or yes:
        return
    what = "; ".join(changes)
    if not sys.stdin.isatty():
        raise UserError(f"at {target}, {what}: if that is meant, give --yes; else list them in the file as well")
    print(f"hydra-ray: at {target}, {what}. Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UserError("nothing was changed")


def _wait(cluster: Cluster, names: Sequence[str], timeout_s: float) -> None:
    began, last_line, logged_at = time.monotonic(), "", float("-inf")
    while True:
        now = states(names, cluster.details())
        for state in now:
            if state.status in ("DEPLOY_FAILED", "UNHEALTHY"):
                raise UserError(
                    f"application {state.name} does not start: {root_cause_line(state.message) or state.status} "
                    "(Serve's logs on the cluster say more)"
                )
        line, elapsed = "; ".join(line_of(state) for state in now), time.monotonic() - began
        if line != last_line or elapsed - logged_at >= LOG_EVERY_S:
            _log(line)
            last_line, logged_at = line, elapsed
        if all(state.status == "RUNNING" for state in now):
            return
        if elapsed > timeout_s:
            last = root_cause_line("\n".join(state.message for state in now))
            raise UserError(f"not running within --timeout {timeout_s:g} s: {line}{'; ' + last if last else ''}")
        time.sleep(POLL_S)


def _try_answers(cluster: Cluster, config: Mapping[str, Any]) -> None:
    """Raises UserError for an application that runs but gives no answers."""
    for probe in probes(config, {name: urls[0] for name, urls in urls_of(cluster.details()).items()}):
        try:
            check(probe)
            _log(f"{probe.application}: ready ({probe.url})")
        except UnreachedError as error:
            _log(
                f"{probe.application}: {probe.url} cannot be reached from this machine ({error}), so whether it gives "
                "answers is unknown: look there"
            )


def _undo(cluster: Cluster, config: Mapping[str, Any], before: Mapping[str, Any], timeout_s: float) -> str:
    """Brings back what ran before; what that came to, in words."""
    earlier = files_before(config, before)
    names = [application.get("name", "default") for application in earlier["applications"]]
    _log(f"undoing: {', '.join(names) + ' as before' if names else 'nothing was deployed before'}")
    try:
        cluster.submit(earlier)
        if names:
            _wait(cluster, names, timeout_s)
    except UserError as failure:
        return f"and what ran before does not come back: {failure}"
    return f"rolled back to what ran before: {', '.join(names)}" if names else "removed, as nothing ran before"


_BEGAN = time.monotonic()


def _log(line: str) -> None:
    print(f"[deploy] {time.monotonic() - _BEGAN:5.1f} s  {line}", file=sys.stderr, flush=True)
