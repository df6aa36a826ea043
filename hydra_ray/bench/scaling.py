"""`hydra-ray bench scaling`: the same training by one worker and by two, a core each, and what the two exchange.

The product's own loop, in plain processes over gloo instead of Ray Train's workers, which differ only in how they are
started: pairs of the synthetic world, one thread a worker. `trained`: MiniLM reads each pair and is trained
(`model.pair: cross_encoder`) with DeepSpeed, ZeRO 1; `frozen`: the same, encoder frozen; `concepts`: the default model,
whose embeddings are encoded before; `concepts_deepspeed`: that with DeepSpeed, ZeRO 1. A step takes as long as its
busiest worker: `balance` is what the cut by ownership leaves of perfect.

`wire` shows what does not cross a wire: users' heads, their gradients and optimiser state. Bytes per step are the same
for every number of users and every head kind, but for the shared head's own parameters (`low_rank` has some more).
"""

import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import psutil
import pyarrow.parquet as pq

from hydra_ray.bench.collectives import wire_bytes
from hydra_ray.config import ModelConfig, TrainConfig
from hydra_ray.core.hashing import bucket_of
from hydra_ray.env import train_variables
from hydra_ray.synth.world import make_user
from hydra_ray.training.joint.concepts import write_centres
from hydra_ray.training.joint.ranking_examples import RankingExample, examples_to_table
from hydra_ray.training.joint.train_job import TrainJob

QUERIES, SHOWN, BUCKETS = 8, 8, 64
BATCH = 128
WARM, STEPS = 1, 4
"""Steps of a case: not timed (DeepSpeed allocates), then timed."""
MODELS: dict[str, dict[str, Any]] = {
    "trained": {"pair": "cross_encoder", "freeze_encoder": False},
    "frozen": {"pair": "cross_encoder", "freeze_encoder": True},
    "concepts": {"pair": "concepts", "freeze_encoder": True},
    "concepts_deepspeed": {"pair": "concepts", "freeze_encoder": True},
}
STAGES = {"concepts_deepspeed": 1}
"""ZeRO stages of cases; the others leave `train.zero_stage` out."""
WIRE_KINDS = ("shared", "linear", "dense", "low_rank")
WIRE_USERS = (16, 64)


def run(args: Namespace) -> dict[str, Any]:
    """Measures and returns the figures.

    args: `repeats` of one and two workers in turns (default 2), `encoder` (default minilm) and its `max_tokens`
    (default 128), `steps` (timed, default STEPS), `cases` (default MODELS).
    ratio: steps per second of two workers over one's where the encoder is trained. without_deepspeed: steps per second
    of `concepts` over those of `concepts_deepspeed`, by number of workers, where both are cases. cases: per case and
    number of workers `steps_per_s`, `rows_per_s`, `cpu_s_per_row` (all workers together), `payload_mib` per step by
    collective, `sent_mib` per step (by all workers); and `ratio`, `balance`, and `cpu_ratio`: what two cores would
    reach that never wait, twice one worker's processor time per row over both workers'. wire: bytes sent per step by
    head kind and number of users. Raises RuntimeError if a worker fails.
    """
    encoder, steps = str(getattr(args, "encoder", "minilm")), int(getattr(args, "steps", STEPS))
    chosen = {name: MODELS[name] for name in getattr(args, "cases", MODELS)}
    with tempfile.TemporaryDirectory(prefix="hydra_ray_bench_") as name:
        folder = Path(name)
        few, many = (write_pairs(users, folder / f"ranking-examples-{users}") for users in WIRE_USERS)
        make = Jobs(folder, encoder, int(getattr(args, "max_tokens", 128)))
        # As many users as make the steps; the default model's centres and embeddings are made before the clock runs.
        timed = write_pairs(-(-(WARM + steps) * BATCH // (QUERIES * SHOWN)), folder / "ranking-examples")
        jobs = {name: make.job(timed, model, "linear", STAGES.get(name)) for name, model in chosen.items()}
        taken: dict[str, dict[int, list[list[dict[str, Any]]]]] = {case: {1: [], 2: []} for case in jobs}
        for world in (1, 2) * int(getattr(args, "repeats", 2)):
            print(f"bench scaling: {', '.join(jobs)}: workers: {world}", file=sys.stderr, flush=True)
            ranks = in_ranks(list(jobs.values()), world, folder)
            for i, case in enumerate(jobs):
                taken[case][world] += [rank[i][WARM:] for rank in ranks]
        wires = {
            f"{kind}, {users} users": make.job(examples, MODELS["concepts"], kind)
            for kind in WIRE_KINDS
            for users, examples in zip(WIRE_USERS, (few, many), strict=True)
        }
        sent = in_ranks(list(wires.values()), 2, folder)[0]
    cases = {case: _figures(worlds) for case, worlds in taken.items()}
    gain = {}
    if {"concepts", "concepts_deepspeed"} <= cases.keys():
        plain, deepspeed = cases["concepts"], cases["concepts_deepspeed"]
        gain = {n: round(plain[n]["steps_per_s"] / deepspeed[n]["steps_per_s"], 3) for n in ("1", "2")}
    return {
        "ratio": next(iter(cases.values()))["ratio"],
        "without_deepspeed": gain,
        "cases": cases,
        "wire": {
            name: mean(wire_bytes(s["payload"], 2) for s in steps) for name, steps in zip(wires, sent, strict=True)
        },
        "encoder": encoder,
        "batch": BATCH,
        "threads_per_worker": 1,
        "cpus": psutil.cpu_count(),
        "load": round(psutil.getloadavg()[0], 1),
    }


def _figures(worlds: dict[int, list[list[dict[str, Any]]]]) -> dict[str, Any]:
    """One case's. worlds: number of workers -> per run and rank its timed steps."""
    figures: dict[str, Any] = {}
    for world, runs in worlds.items():
        steps = [step for rank in runs for step in rank]
        # The middle step: on a busy machine a few take many times as long.
        seconds, rows = median(step["seconds"] for step in steps), sum(step["rows"] for step in steps)
        cpu_s = sum(step["cpu_s"] for step in steps)
        payload = {name: mean(s["payload"].get(name, 0) for s in steps) for name in steps[0]["payload"]}
        figures[str(world)] = {
            "steps_per_s": round(1 / seconds, 4),
            "rows_per_s": round(rows / len(steps) * world / seconds, 2),
            "cpu_s_per_row": round(cpu_s / rows, 8),
            "payload_mib": {name: round(size / 2**20, 4) for name, size in payload.items() if size},
            "sent_mib": round(wire_bytes(payload, world) / 2**20, 4),
        }
    one, two = figures["1"], figures["2"]
    both = zip(worlds[2][0], worlds[2][1], strict=True)  # the plan is the same in every repeat
    figures["balance"] = round(mean(mean(s["rows"] for s in step) / max(s["rows"] for s in step) for step in both), 3)
    figures["ratio"] = round(two["steps_per_s"] / one["steps_per_s"], 3)
    figures["cpu_ratio"] = round(2 * one["cpu_s_per_row"] / two["cpu_s_per_row"], 3)
    return figures


def write_pairs(users: int, folder: Path) -> Path:
    """QUERIES questions of each user with SHOWN of the user's items, labelled by whether the answers agree."""
    examples = []
    for index in range(users):
        user = make_user("tagging", 0, index, (SHOWN, SHOWN), QUERIES, "bench")
        candidates = tuple(item.text for item in user.items)
        for query in user.questions:
            label = tuple(float(item.answer == query.answer) for item in user.items)
            bucket = bucket_of(user.user_id, BUCKETS)
            examples.append(RankingExample(user.user_id, bucket, query.item_id, query.text, candidates, label))
    folder.mkdir()
    pq.write_table(examples_to_table(examples), folder / "part-0.parquet")
    return folder


class Jobs:
    """Jobs for `train_kinds`' workers, each with a folder of its own."""

    def __init__(self, folder: Path, encoder: str, max_tokens: int) -> None:
        self._folder, self._encoder, self._max_tokens, self._made = folder, encoder, max_tokens, 0

    def job(self, examples: Path, model: Mapping[str, Any], kind: str, zero_stage: int | None = None) -> TrainJob:
        """One epoch over `examples`."""
        self._made += 1
        out, embedding_store = self._folder / f"job-{self._made}", self._folder / "embeddings"
        config = ModelConfig(encoder=self._encoder, max_tokens=self._max_tokens, dropout=0.0, **model)
        centres = self._folder / f"centres-{examples.name}"
        if config.pair == "concepts" and not centres.exists():
            write_centres(config, examples, embedding_store, 0, centres)
        out.mkdir()
        train = TrainConfig(epochs=1, batch_size=BATCH, checkpoint_interval_s=1e9, zero_stage=zero_stage)
        job = TrainJob(
            config,
            train,
            (kind,),
            examples,
            "bench",
            0,
            symmetric=True,
            feature_width=0,
            scratch=out,
            embedding_store=embedding_store,
        )
        if centres.exists():
            shutil.copy(centres, job.centres)
        return job


def in_ranks(jobs: Sequence[TrainJob], world: int, folder: Path) -> list[list[list[dict[str, Any]]]]:
    """Trains the jobs one after the other in `world` processes; per rank and job its steps (see `main`)."""
    plan = folder / f"plan-{world}-{time.monotonic_ns()}.pickle"
    plan.write_bytes(pickle.dumps(list(jobs)))
    command = [sys.executable, "-m", "hydra_ray.bench.scaling", str(plan)]
    env = {**os.environ, **train_variables(cpus=1, gpu=False)}
    with (folder / "log").open("w") as log:
        ranks = [
            subprocess.Popen(
                [*command, str(rank), str(world)],
                env={**env, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)},
                stdout=log,
                stderr=log,
            )
            for rank in range(world)
        ]
        codes = [rank.wait() for rank in ranks]
    if any(codes):
        raise RuntimeError(f"training in {world} processes failed: {(folder / 'log').read_text()[-2000:]}")
    return [json.loads(plan.with_suffix(f".{rank}").read_text()) for rank in range(world)]


def main(argv: Sequence[str]) -> None:
    """One rank: plan, rank, world. Writes per job and step `rows` (its own), `seconds`, `cpu_s` and `payload`."""
    import torch

    from hydra_ray.bench.collectives import Collectives
    from hydra_ray.training.joint.loop import Loop
    from hydra_ray.training.joint.plan import Step
    from hydra_ray.training.joint.worker import Worker
    from hydra_ray.training.joint.worker_shard import WorkerShard

    plan, rank, world = Path(argv[0]), int(argv[1]), int(argv[2])
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{plan}.store", rank=rank, world_size=world)
    counted = Collectives()

    class Measured(Worker):
        """Notes what each step took."""

        def step(self, step: Step, epoch: int, number: int) -> float:
            before, began, worked = counted.payload.copy(), time.perf_counter(), time.process_time()
            loss = super().step(step, epoch, number)
            rows = sum(self.share.rows[i] for i in step.examples[self.rank])
            payload = {name: size - before[name] for name, size in counted.payload.items()}
            spent = {"seconds": time.perf_counter() - began, "cpu_s": time.process_time() - worked}
            taken.append({"rows": rows, **spent, "payload": payload})
            return loss

    results = []
    jobs: list[TrainJob] = pickle.loads(plan.read_bytes())
    for job in jobs:
        taken: list[dict[str, Any]] = []
        (kind,) = job.kinds
        worker = Measured(job, kind, WorkerShard(job.ranking_examples, rank, world), rank, None)
        Loop(job, worker, lambda metrics, folder: None).run(job.result(kind))
        results.append(taken)
    plan.with_suffix(f".{rank}").write_text(json.dumps(results))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1:])
