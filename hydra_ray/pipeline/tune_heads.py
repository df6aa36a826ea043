"""How new users' heads are fitted: from which trained base, and how strongly its shared head pulls them.

Joint training learns two bases: one together with the training users' heads (`joint`), and one without any (`shared`).
The first has been shaped by what users differ in, the second by what they have in common: where users differ much and
have many queries, new users' heads do better on the first, else on the second. The training users say which: heads are
fitted to half of each one's queries as a new user's would be, and judged on the other half. Close calls go to `shared`.
"""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from hydra_ray.config.head_kinds import joint_kind
from hydra_ray.config.resources import ray_options
from hydra_ray.pipeline.fit_spec import FitSpec, encode
from hydra_ray.pipeline.run_context import RunContext
from hydra_ray.pipeline.step_settings import TUNED_BASE, Start
from hydra_ray.training.artifacts.trained_scorer import save_as_kind
from hydra_ray.training.user_fit import solver
from hydra_ray.training.user_fit.features import rows_of
from hydra_ray.training.user_fit.solver import Tuning
from hydra_ray.utils.cpu import one_thread
from hydra_ray.utils.device import worker_device
from hydra_ray.utils.ray_errors import unwrap_user_errors


def tune_heads(run: RunContext, fit: FitSpec, bases: Mapping[Start, Path], out: Path) -> dict[str, Any]:
    """Tunes the fit of new users' heads on each base, and chooses the base with the lower held-out loss.

    Args:
        run: Gets a line on what was found.
        fit: The fit; its base is not read.
        bases: Those to choose from. `joint` must be better than `shared` by more than a standard error over users: it
            was trained with these users' own heads, so that it knows their differences beforehand.
        out: Gets the chosen base in `TUNED_BASE` if it is `shared`, with heads of the kind that is fitted.

    Returns:
        `start`, the chosen base; `loss_by_start`, each one's held-out loss in nats a row; and what was tuned
        (`solver.Tuned`).
    """
    bases = dict(bases)
    if "shared" in bases:
        save_as_kind(bases["shared"], joint_kind(fit.kind), out / TUNED_BASE)
        bases["shared"] = out / TUNED_BASE
    found = _where_fits_run(run, fit, bases)
    best = choose_start({start: tuning.losses for start, tuning in found.items()})
    if best != "shared":
        shutil.rmtree(out / TUNED_BASE, ignore_errors=True)
    tuned = found[best].tuned
    choice = f" on the {best} base" if len(bases) > 1 else ""
    count = tuned.get("tuning_users", 0)
    run.log(f"tune-{fit.component}: {solver.describe(tuned)}{choice}, from {count} training users")
    known = {start: tuning.losses[~tuning.losses.isnan()] for start, tuning in found.items()}
    return {
        "start": best,
        "loss_by_start": {start: round(float(losses.mean()), 5) for start, losses in known.items() if len(losses)},
        **tuned,
    }


def choose_start(losses: Mapping[Start, Tensor]) -> Start:
    """The base that heads start from. losses: of the same training users on held-out queries, [U], NaN where unknown.

    Where no loss is known, the published one: `joint`.
    """
    if "joint" not in losses or "shared" not in losses:
        return next(iter(losses))
    gain_U = losses["shared"] - losses["joint"]
    gain_U = gain_U[~gain_U.isnan()]
    if not len(gain_U):
        return "joint"
    error = float(gain_U.std(correction=1)) / len(gain_U) ** 0.5 if len(gain_U) > 1 else 0.0
    return "joint" if float(gain_U.mean()) > error else "shared"


def _where_fits_run(run: RunContext, fit: FitSpec, bases: Mapping[Start, Path]) -> dict[Start, Tuning]:
    """On a CPU in this process; where fits have a GPU, on such a worker."""
    wanted = fit.config.resources.fit
    if not wanted.num_gpus:
        return tuned_on(fit, bases, 0.0)
    import ray

    run.ray()
    with unwrap_user_errors():
        task = ray.remote(tuned_on).options(**ray_options(wanted))
        found: dict[Start, Tuning] = ray.get(task.remote(fit, bases, wanted.num_gpus))
    return found


def tuned_on(fit: FitSpec, bases: Mapping[Start, Path], num_gpus: float) -> dict[Start, Tuning]:
    """The fit tuned on each base; the training users' queries are read once.

    num_gpus: what this worker was promised; raises UserError if that is a GPU and there is none.
    """
    device, examples, found = worker_device(num_gpus), fit.tuning_examples(), dict[Start, Tuning]()
    for start, base in bases.items():
        scorer = replace(fit, base=base).scorer(device)
        with one_thread():
            rows = rows_of(encode(scorer, examples)).to(device)
            tuned, losses_U = solver.fit_prior(fit.head(scorer), rows, fit.config.fit, fit.config.train.loss)
        found[start] = Tuning(tuned, losses_U.cpu())
    return found
