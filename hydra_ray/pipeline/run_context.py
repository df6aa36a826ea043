"""What every stage of a run shares: config, task, Ray, the black box, the ledger. All of it started when first used."""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from hydra_ray.cluster import LOCAL, check_socket_paths, find_cluster, init_ray, other_cluster, shutdown_ray
from hydra_ray.config import Config
from hydra_ray.config.resources import WorkerResources, worker_range
from hydra_ray.core.tasks import Task, load_task
from hydra_ray.env import set_defaults, set_local_ray
from hydra_ray.errors import UserError
from hydra_ray.llm.model_id import model_identity
from hydra_ray.llm.response_cache import FILE as RESPONSES
from hydra_ray.pipeline.lora_serving import serve_adapters, with_weights
from hydra_ray.pipeline.name_claim import claim_name
from hydra_ray.pipeline.resources import EVERY_S, Waiting, needs_of
from hydra_ray.pipeline.room import RoomWatch
from hydra_ray.pipeline.run_archive import RunArchive
from hydra_ray.pipeline.step import StepResult, run_step
from hydra_ray.utils.periodic import PeriodicTask
from hydra_ray.utils.ray_data import alive_nodes

LOGICAL_CPUS_PER_CORE = 4
"""A local cluster counts more CPUs than there are: actors that wait for the LLM and workers that train take turns."""

LOSSES = 3
"""How often one step may lose a worker or a node and go on."""
Result = TypeVar("Result")


class RunContext(contextlib.AbstractContextManager["RunContext"]):
    """One invocation. A context manager: leaving it stops what this invocation started."""

    def __init__(self, config: Config, stage: str = "run") -> None:
        set_defaults()
        set_local_ray(config.ray.address == LOCAL)  # before anything imports Ray
        self.root = Path(config.root).expanduser().resolve()
        self.config = config = serve_adapters(config, self.root)
        self._needs = needs_of(stage, config)
        self.task: Task = load_task(config.data.task)
        self.folder = self.root / config.name
        self.began = time.monotonic()
        self.calls_before: int | None = None
        self._stack = contextlib.ExitStack()
        self._ledger: Any = None
        self._base_url: str | None = config.llm.base_url
        self._serving = self._stack.enter_context(contextlib.ExitStack())
        self._checked = False
        self._identity: str | None = None
        self._ray = False
        self._can_train = False

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def log(self, line: str) -> None:
        """One progress line: seconds since the start, then what is going on."""
        print(f"[{time.monotonic() - self.began:6.1f} s] {line}", file=sys.stderr, flush=True)

    def step(
        self,
        name: str,
        code: int,
        config: Mapping[str, Any],
        inputs: Mapping[str, str],
        work: Callable[[Path], Mapping[str, Any] | None],
    ) -> StepResult:
        """`run_step` under this run's root. A step that loses a worker or a node goes on from what it has finished."""

        def survive(folder: Path) -> Mapping[str, Any] | None:
            return self.again_when_lost(name, lambda: work(folder))

        return run_step(self.root, name, code, config, inputs, survive, self.log, self.archive)

    @cached_property
    def archive(self) -> RunArchive | None:
        """The archive, which can be written. Raises UserError if it cannot."""
        if self.config.archive is None:
            return None
        found = RunArchive(self.config.archive, self.root, self.log)
        found.check()
        return found

    def publish(self) -> None:
        """Puts what this invocation has written into the run's own folder into the archive, where there is one."""
        if self.archive:
            self.archive.publish_run(self.config.name)

    def again_when_lost(self, name: str, work: Callable[[], Result]) -> Result:
        """Does the work, up to LOSSES times more if workers are lost. Raises UserError after that."""
        from hydra_ray.utils.settled_nodes import wait_until_settled

        for left in range(LOSSES, -1, -1):
            try:
                return work()
            except UserError:
                raise
            except Exception as error:
                lost = self._lost(error)
                if lost is None:
                    raise
                if not left:
                    raise UserError(
                        f"{name}: workers were lost {LOSSES + 1} times, last {lost}; see Ray's log files for why they "
                        "died (memory, a node taken away), then run again: what is finished stays"
                    ) from error
                self.log(f"{name}: {lost}; going on with what is left")
                self._ledger = None  # its node may be the one that went; it has a name to be found by
                wait_until_settled()
        raise AssertionError

    def _lost(self, error: Exception) -> str | None:
        """What of Ray's was lost, if that is what the exception is about."""
        if not self._ray:
            return None
        from hydra_ray.utils.ray_errors import lost_worker

        return lost_worker(error)

    def ray(self) -> None:
        """Joins `ray.address`, or starts a local cluster that ends with this invocation."""
        if self._ray:
            return
        import ray

        self._ray = True
        if ray.is_initialized():
            return
        options: dict[str, Any] = {"log_to_driver": self.config.ray.worker_logs, "logging_level": "WARNING"}
        address = self.config.ray.address
        if address == LOCAL:
            other = other_cluster()
            self.log("ray: starting a local cluster"
                     + (f" ({other} is not joined; ray.address=auto would)" if other else ""))  # fmt: skip
            options |= {"num_cpus": self.local_cpus, "include_dashboard": False}
        else:
            address = self.cluster
            self.log(f"ray: joining the cluster at {address}")
        init_ray(address, **options)
        self._stack.callback(shutdown_ray)
        self._check_resources()
        import ray.data

        ray.data.DataContext.get_current().enable_progress_bars = sys.stderr.isatty()
        for quiet in ("ray.data", "ray.serve", "ray.train"):
            logging.getLogger(quiet).setLevel(logging.ERROR)

    @cached_property
    def cluster(self) -> str:
        """The address of the cluster that is joined, `local` for one of this run's own. Raises UserError."""
        address = self.config.ray.address
        return address if address == LOCAL else find_cluster(address)

    @property
    def local_cpus(self) -> int:
        """The CPUs that a local cluster of this run's own counts."""
        return self.config.ray.num_cpus or LOGICAL_CPUS_PER_CORE * (os.cpu_count() or 1)

    def begin(self) -> None:
        """`check_local` and `claim_name`."""
        self.check_local()
        self.claim_name()

    def claim_name(self) -> None:
        """Takes the run's name until this invocation ends. Raises UserError where a run with other settings has it."""
        self._stack.enter_context(claim_name(self.root, self.config))

    def check_local(self) -> None:
        """Raises UserError, before anything is started, for what a local cluster of this run's own would lack."""
        if self.config.ray.address == LOCAL:
            check_socket_paths()
            # What else this machine has, Ray finds out when it starts.
            self._refuse(self._needs.lacking({**self._needs.required, "CPU": self.local_cpus}))

    def workers(self, kind: WorkerResources) -> tuple[int, int]:
        """Fewest and most workers of a kind."""
        return worker_range(kind, alive_nodes)

    def _check_resources(self) -> None:
        """Raises UserError where a worker fits on no node. A local cluster must have all that the stage needs;
        elsewhere more nodes may still come, and lines say so meanwhile."""
        import ray

        impossible = self._needs.impossible(alive_nodes())
        if impossible and not self.config.ray.autoscaling:
            raise UserError(f"ray: {impossible}; lower what that section asks for, or set ray.autoscaling=true for a "
                            "cluster that adds such a node")  # fmt: skip
        if self.config.ray.address == LOCAL:
            self._refuse(self._needs.lacking(ray.cluster_resources()))
            return
        if self._needs.lacking(ray.cluster_resources()):
            waiting = Waiting(self._needs, ray.cluster_resources, self.log)
            waiting()
            self._watch(waiting)
        from hydra_ray.pipeline.cluster_room import cluster_room

        context = ray.get_runtime_context()
        address, own = context.gcs_address, context.get_job_id()
        self._watch(RoomWatch(lambda: cluster_room(address, own), self.log))

    def _watch(self, lines: Waiting | RoomWatch) -> None:
        """Looks every EVERY_S seconds until this invocation ends."""
        self._stack.enter_context(PeriodicTask(lines, EVERY_S, at_end=False))

    def _refuse(self, lacking: str) -> None:
        if lacking:
            raise UserError(f"ray: a local cluster would wait for ever: {lacking}; raise ray.num_cpus, lower what "
                            "needs them, or give ray.address")  # fmt: skip

    @property
    def identity(self) -> str:
        """The model's identity, part of every hash of a step that reads its answers."""
        if self._identity is None:
            self._identity = model_identity(self.config.llm)
        return self._identity

    @property
    def ledger_file(self) -> Path:
        return self.root / RESPONSES

    def ledger(self) -> Any:
        """The actor that owns response cache, counts and budget of this run."""
        if self._ledger is None:
            import ray

            from hydra_ray.llm.response_cache_actor import run_response_cache
            from hydra_ray.utils.ray_errors import unwrap_user_errors

            self.ray()
            self._ledger = run_response_cache(self.config)
            if self.calls_before is None:
                if self.archive:
                    self._stack.callback(self._save_answers)
                with unwrap_user_errors():
                    self.calls_before = ray.get(self._ledger.counts.remote()).calls
        return self._ledger

    def _save_answers(self) -> None:
        """Puts the last answers into the archive. A refusal is a line of the log; the root has them."""
        import ray

        from hydra_ray.utils.ray_errors import unwrap_user_errors

        try:
            with unwrap_user_errors():
                ray.get(self._ledger.save.remote())
        except UserError as error:
            self.log(f"{error}; the last answers are in {self.root} alone, and the same command saves them")

    def check_before_paying(self) -> None:
        """Raises UserError for what would be found out late, or only after the LLM was paid: a cluster that does not
        answer, a tracker that is not installed, an encoder that cannot be used."""
        if not self._can_train:
            _ = self.cluster
            from hydra_ray.models.encoder import check_encoder
            from hydra_ray.training.joint.trackers import check_trackers

            check_trackers(self.config.train.trackers)
            check_encoder(self.config.model)
            self._can_train = True

    def base_url(self) -> str | None:
        """Where the black box answers; starts vLLM on first use if `llm.base_url` is unset. Checked before use. None:
        the workers that ask hold it."""
        if self.config.llm.in_process:
            return None
        if self._base_url is None:
            from hydra_ray.llm.vllm_app import served_llm

            self.ray()
            joined = self.config.ray.address != LOCAL
            served = served_llm(self.config.llm, self.config.resources.llm, joined=joined)
            self._base_url = self._serving.enter_context(served)
        if not self._checked:
            from hydra_ray.llm.client import LLMClient
            from hydra_ray.llm.response_cache_ports import ActorPort

            client = LLMClient(
                self.config.llm, ActorPort(self.ledger()), base_url=self._base_url, identity=self.identity
            )
            try:
                client.check_sync()
            finally:
                client.close_sync()
            self._checked = True
        return self._base_url

    @contextlib.contextmanager
    def answering(self, weights: Path | None = None) -> Iterator[tuple[Config, str | None]]:
        """The configuration of what answers, and where it does; None: in the workers that ask.

        weights: a folder with other weights of the LLM that the run serves. They take its place meanwhile, as there may
        be room for one of them alone; None: it is the LLM.
        """
        if weights is None:
            yield self.config, self.base_url()
            return
        other = with_weights(self.config, weights)
        if other.llm.in_process:
            yield other, None
            return
        from hydra_ray.llm.vllm_app import served_llm

        self.ray()
        self._serving.close()
        self._base_url = None
        with served_llm(other.llm, other.resources.llm, joined=other.ray.address != LOCAL) as url:
            yield other, url

    @property
    def embedding_store(self) -> Path:
        """Where the embeddings of frozen encoders are kept, for all runs under the root."""
        return self.root / "cache" / "embeddings"
