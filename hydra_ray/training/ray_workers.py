"""Workers of Ray Train, whatever they train: started, watched, tried again when one dies, ended by a user's mistake."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.train import UserCallback

from hydra_ray.config import TrainConfig
from hydra_ray.config.resources import TrainResources, train_scaling, worker_range
from hydra_ray.env import train_variables
from hydra_ray.errors import UserError
from hydra_ray.training.joint.file_tail import PROGRESS, FileTail
from hydra_ray.training.placement_groups import placement_groups, remove_placement_groups
from hydra_ray.utils.ray_data import alive_nodes
from hydra_ray.utils.ray_errors import find_user_error, lost_worker, out_of_memory, unwrap_user_errors


class StopOnUserError(UserCallback):  # type: ignore[misc]  # Ray Train has no types
    """Ends the training at a user's mistake, however many failures are allowed: the next attempt would meet it, too."""

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Runs in Ray Train's controller, which tries again after workers' exceptions, but not after this one."""
        for error in worker_exceptions.values():
            found = find_user_error(error)
            if found is not None:
                raise found


def run_workers(
    loop: Callable[[dict[str, Any]], None],
    job: Any,
    train: TrainConfig,
    wanted: TrainResources,
    name: str,
    scratch: Path,
    log: Callable[[str], None],
) -> None:
    """Has every worker run `loop({"job": job})` to its end.

    Args:
        loop: Ray Train's `train_loop_per_worker`.
        job: What it trains; pickles.
        train: How many failures are allowed.
        wanted: How many workers, and what each reserves.
        name: Of the training, in messages.
        scratch: Ray Train's storage; a training that was cut short and is found there goes on with its next step.
        log: Gets the lines that workers write to `scratch/progress`.

    Raises:
        UserError: A worker fails for good.
        TrainingFailedError: The last failure was that a worker was lost (see `lost_worker`).
    """
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    from hydra_ray.training.joint.network_interface import RoutedTorchConfig

    workers = worker_range(wanted, alive_nodes)
    trainer = TorchTrainer(
        loop,
        train_loop_config={"job": job},
        # NCCL refuses two ranks on one device.
        torch_config=RoutedTorchConfig(backend="nccl" if wanted.num_gpus >= 1 else "gloo"),
        scaling_config=ScalingConfig(**train_scaling(wanted, workers)),
        run_config=RunConfig(
            name="train",
            storage_path=str(scratch),
            failure_config=FailureConfig(max_failures=train.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            worker_runtime_env={"env_vars": train_variables(cpus=wanted.num_cpus, gpu=wanted.num_gpus > 0)},
            callbacks=[StopOnUserError()],
        ),
    )
    before = placement_groups()
    try:
        with FileTail(scratch / PROGRESS, log), unwrap_user_errors():
            trainer.fit()
    except TrainingFailedError as error:
        reason = out_of_memory(str(error))
        if reason is None and lost_worker(error) is not None:
            # Ray Train's controller may have been on the node that has gone, or have made all its attempts there before
            # Ray noticed. What it had reserved would be missing.
            remove_placement_groups(placement_groups() - before)
            raise
        reason = reason or str(error).strip().splitlines()[-1]
        raise UserError(f"{name}: training failed {train.max_failures + 1} times, last: {reason}") from error
