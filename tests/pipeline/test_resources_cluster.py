"""Workers are scheduled on declared resources: shares of GPUs, custom ones, pools that grow. No GPU is needed."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hydra_ray.config import Config
from hydra_ray.config.resources import ResourcesConfig, WorkerResources, ray_options, worker_range
from hydra_ray.errors import UserError
from hydra_ray.pipeline.cluster_room import cluster_room
from hydra_ray.pipeline.resources import needs_of
from hydra_ray.pipeline.room import no_room_line
from hydra_ray.pipeline.tune_heads import tune_heads
from hydra_ray.utils.device import worker_device
from hydra_ray.utils.ray_data import actor_pool, alive_nodes
from hydra_ray.utils.ray_errors import unwrap_user_errors
from tests.pipeline.fitted_world import make_config, make_fit, write_answers, write_base

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module", autouse=True)
def declared() -> Iterator[None]:
    """A local Ray that believes in two GPUs."""
    import ray

    ray.init(
        address="local", num_cpus=6, num_gpus=2, resources={"fast": 1}, include_dashboard=False, log_to_driver=False,
        logging_level="warning",
    )  # fmt: skip
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


class Assigned:
    """Says what Ray gave the actor."""

    def gpu(self) -> list[str]:
        import ray

        found: list[str] = ray.get_runtime_context().get_accelerator_ids()["GPU"]
        return found

    def resources(self) -> dict[str, float]:
        import ray

        found: dict[str, float] = ray.get_runtime_context().get_assigned_resources()
        return found


class Promised:
    """Asks for its device, as every worker does."""

    def __init__(self, num_gpus: float) -> None:
        self.device = worker_device(num_gpus)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"device": [self.device.type]}


def test_four_workers_share_two_gpus_and_one_has_what_is_special() -> None:
    import ray

    half = ray.remote(Assigned).options(**ray_options(WorkerResources(num_gpus=0.5)))
    actors = [half.remote() for _ in range(4)]
    assert sorted(ray.get([actor.gpu.remote() for actor in actors])) == [["0"], ["0"], ["1"], ["1"]]
    for actor in actors:
        ray.kill(actor)
    special = WorkerResources(num_cpus=0, num_gpus=1, resources={"fast": 1})
    only = ray.remote(Assigned).options(**ray_options(special)).remote()
    assert ray.get(only.resources.remote()) == {"GPU": 1.0, "fast": 1.0}
    ray.kill(only)


def test_auto_is_what_the_declared_nodes_have_room_for() -> None:
    asked = WorkerResources(num_workers="auto", num_gpus=0.25)
    assert worker_range(asked, alive_nodes) == (1, 6)
    assert worker_range(WorkerResources(num_workers="auto"), alive_nodes) == (1, 5)


def test_what_no_node_has_is_known_before_anything_is_started() -> None:
    config = Config.model_validate({"resources": {"fit": {"num_gpus": 4}, "score": {"resources": {"fast": 1}}}})
    line = needs_of("run", config).impossible(alive_nodes())
    assert line == (
        "a worker of resources.fit needs 1 CPU, 4 GPU, and no node has that; the nodes have: 6 CPU, 2 GPU, 1 fast"
    )


def test_a_worker_whose_gpu_pytorch_does_not_see_stops_the_step_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray
    import torch

    if torch.accelerator.is_available():
        pytest.skip("an accelerator is here")
    wanted = WorkerResources(num_workers=(1, 2), num_gpus=0.5)
    work = ray.data.range(2).map_batches(
        Promised, fn_constructor_args=(0.5,), batch_size=1, compute=actor_pool((1, 2)), **ray_options(wanted)
    )
    with pytest.raises(UserError, match=r"^a worker was promised a GPU \(num_gpus=0\.5\)"), unwrap_user_errors():
        work.take_all()


def test_heads_are_tuned_where_fits_run(tmp_path: Path) -> None:
    import torch

    if torch.accelerator.is_available():
        pytest.skip("an accelerator is here")
    plain = make_config(tmp_path, l2=None)
    write_base(tmp_path, plain)
    write_answers(tmp_path / "answered")
    resources = ResourcesConfig(fit=WorkerResources(num_gpus=0.5))
    fit = make_fit(tmp_path, plain.model_copy(update={"resources": resources}), tmp_path / "answered")
    run: Any = SimpleNamespace(ray=lambda: None, log=lambda _: None)
    with pytest.raises(UserError, match="a worker was promised a GPU"):
        tune_heads(run, fit, {"joint": tmp_path / "base"}, tmp_path / "tuned")


def test_what_has_no_room_is_seen_and_who_is_in_the_way_where_that_is_known() -> None:
    import ray

    context = ray.get_runtime_context()
    four = ray.remote(Assigned).options(num_cpus=4)
    holder = four.remote()
    assert ray.get(holder.resources.remote()) == {"CPU": 4.0}
    more = four.remote()
    wanted = (("CPU", 4.0),)
    deadline = time.monotonic() + 30
    while wanted not in (room := cluster_room(context.gcs_address, context.get_job_id())).unplaced():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert room.holders is None  # this cluster has no dashboard
    assert no_room_line(room, room.unplaced()) == "ray: waiting for 1 x (4 CPU); free: 2 of 6 CPU"
    ray.kill(holder)
    ray.kill(more)
