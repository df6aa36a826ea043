"""`hydra-ray bench train-scale`: a joint training of very many users, from ingest to published heads.

A synthetic world is written and ingested as a run does it. Each user's first QUERIES items ask for the user's other
items: an item with the same answer is good. Embeddings are drawn, not computed: what encoding costs is in `bench
fit-scale`, and the training reads the same bytes. Base and heads are trained on Ray Train with DeepSpeed, and the heads
are published in a head store. Every part is a step as a run's are: with `--folder`, the same command goes on after a
kill, a training from its last checkpoint.
"""

import json
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq

from hydra_ray.bench.memory import MIB, run_measured
from hydra_ray.config import Config, ModelConfig
from hydra_ray.core.types import User
from hydra_ray.data.reader import read_users
from hydra_ray.models.encoder_source import spec_of
from hydra_ray.models.sentence_embeddings import sentences_of
from hydra_ray.store.embeddings.embedding_store import EmbeddingStore
from hydra_ray.store.embeddings.keys import text_keys
from hydra_ray.training.joint.ranking_examples import RankingExample, examples_to_table

USERS, USERS_PER_BUCKET = 10_000, 1_000
ITEMS, QUERIES = 9, 4
"""Of a user: history items, and how many of them ask for the others. A user has QUERIES · (ITEMS - 1) rows."""
BATCH, EPOCHS = 4096, 1
CHUNK = 2_000
"""Users whose examples and embeddings are written at a time."""
WIDTH = 384
"""MiniLM's."""


def run(args: Namespace) -> dict[str, Any]:
    """Measures and returns the figures.

    args: `users` (default USERS), `folder` (kept, and gone on from; default: one that is removed), `workers` (default
    1), `kinds` (the first; default linear).
    Returns `seconds` by step, over all attempts; `rows` of an epoch, `rows_per_s` of the training step as a whole,
    `loss`; `peak_mib` of this attempt's processes, without mapped files; `mib`, what each part takes on disk;
    `bytes_per_user` of the published heads. Raises RuntimeError if the training fails.
    """
    users, workers = int(getattr(args, "users", USERS)), int(getattr(args, "workers", 1))
    (kind, *_) = getattr(args, "kinds", None) or ("linear",)
    kept = getattr(args, "folder", None)
    with tempfile.TemporaryDirectory(prefix="hydra_ray_bench_") as temporary:
        folder = Path(kept or temporary).resolve()
        command = [sys.executable, "-m", "hydra_ray.bench.train_scale", str(folder), kind, str(users), str(workers)]
        reply, memory, _ = run_measured(command, f"training {users} users")
        mib = {part.name.rsplit("-", 1)[0]: _mib(part) for part in sorted((folder / "steps").glob("[!.]*"))}
    figures = json.loads(reply)
    heads = figures.pop("head_bytes")
    return {
        **figures,
        "kind": kind,
        "users": users,
        "workers": workers,
        "batch": BATCH,
        "epochs": EPOCHS,
        "bytes_per_user": round(heads / users, 1),
        "peak_mib": round(memory.peak / MIB, 1),
        "worker_mib": round(memory.worker / MIB, 1),
        "mib": mib,
        "cpus": psutil.cpu_count(),
        "load": round(psutil.getloadavg()[0], 1),
    }


def make_config(folder: Path, kind: str, users: int, workers: int) -> Config:
    """Defaults, but for the size."""
    return Config.model_validate(
        {
            "root": str(folder),
            "data": {
                "source": "synthetic",
                "task": "synthetic_tagging",
                "buckets": max(1, users // USERS_PER_BUCKET),
                "synth": {"users": users, "items": (ITEMS, ITEMS)},
            },
            "model": {"head": kind},
            "train": {"epochs": EPOCHS, "batch_size": BATCH},
            "resources": {"train": {"num_workers": workers}},
        }
    )


def examples_of(user: User, buckets: int) -> Iterator[RankingExample]:
    """The first QUERIES items of a user, each with all others as candidates."""
    from hydra_ray.core.hashing import bucket_of

    for query in user.items[:QUERIES]:
        others = [item for item in user.items if item is not query]
        yield RankingExample(
            user.user_id,
            bucket_of(user.user_id, buckets),
            query.item_id,
            query.text,
            tuple(item.text for item in others),
            tuple(float(item.answer == query.answer) for item in others),
        )


def write_examples(users_dir: Path, buckets: int, out: Path) -> dict[str, int]:
    """Ranking examples of all ingested users, CHUNK users a file; a file that is there is not written again."""
    out.mkdir(exist_ok=True)
    counts = {"ranking_examples": 0, "rows": 0}
    for number, chunk in enumerate(_chunks(read_users(users_dir))):
        found = [example for user in chunk for example in examples_of(user, buckets)]
        counts["ranking_examples"] += len(found)
        counts["rows"] += sum(example.labelled for example in found)
        pq.write_table(examples_to_table(found), out / f"part-{number:05d}.parquet")
    return counts


def draw_embeddings(users_dir: Path, model: ModelConfig, store: EmbeddingStore, seed: int = 0) -> dict[str, int]:
    """A normal embedding for each distinct sentence of all histories that has none in the store."""
    rng = np.random.default_rng(seed)
    drawn = 0
    for chunk in _chunks(read_users(users_dir)):
        sentences = {s for user in chunk for item in user.items for s in sentences_of(item.text, model.sentences)}
        lacking = store.missing(sorted(sentences))
        if lacking:
            values = rng.standard_normal((len(lacking), WIDTH), np.float32) / WIDTH**0.5
            drawn += store.append(text_keys(lacking), values)
    return {"texts": drawn}


def _chunks(users: Iterator[User]) -> Iterator[list[User]]:
    chunk: list[User] = []
    for user in users:
        chunk.append(user)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def main(argv: Sequence[str]) -> None:
    """The measured driver: folder, kind, users, workers. Says `ready`, waits for a line, works, prints its figures."""
    from hydra_ray.pipeline.data_steps import DataSteps
    from hydra_ray.pipeline.run_context import RunContext
    from hydra_ray.training.artifacts.user_heads import FOLDER
    from hydra_ray.training.joint.train_job import TrainJob
    from hydra_ray.training.joint.trainer import train

    root, kind, users, workers = Path(argv[0]), argv[1], int(argv[2]), int(argv[3])
    print("ready", flush=True)
    sys.stdin.readline()
    with RunContext(make_config(root, kind, users, workers)) as run:
        config = run.config
        steps = DataSteps(run)
        ingest = steps.ingest()

        def examples(folder: Path) -> Mapping[str, Any]:
            return write_examples(ingest.path, config.data.buckets, folder / "ranking_examples")

        def embeddings(folder: Path) -> Mapping[str, Any]:
            store = EmbeddingStore(folder / "embeddings", spec_of(config.model))
            return draw_embeddings(ingest.path, config.model, store)

        written = run.step("bench-examples", 1, {"queries": QUERIES}, {"users": ingest.key}, examples)
        drawn = run.step("bench-embeddings", 1, {"width": WIDTH}, {"users": ingest.key}, embeddings)

        def learn(folder: Path) -> Mapping[str, Any]:
            run.ray()
            job = TrainJob(
                config.model,
                config.train,
                (kind,),
                written.path / "ranking_examples",
                "train-scale",
                0,
                symmetric=True,
                feature_width=0,
                scratch=(folder / "scratch").resolve(),
                embedding_store=drawn.path / "embeddings",
                resources=config.resources.train,
            )
            return train(job, config.data.buckets, folder, run.log)

        key = {"kind": kind, "batch": BATCH, "epochs": EPOCHS, "workers": workers}
        trained = run.step("bench-train", 1, key, {"examples": written.key, "embeddings": drawn.key}, learn)
        results = {"synth": steps.results["synth"], "ingest": ingest, "examples": written, "embeddings": drawn}
        seconds = {name: step.manifest["seconds"] for name, step in {**results, "train": trained}.items()}
    rows = written.manifest["counts"]["rows"]
    published = trained.path / kind / FOLDER
    print(
        json.dumps(
            {
                "seconds": seconds,
                "rows": rows,
                "rows_per_s": round(rows * EPOCHS / seconds["train"], 1),
                "loss": round(trained.manifest["counts"][f"loss_{kind}"], 4),
                "texts": drawn.manifest["counts"]["texts"],
                "head_bytes": sum(file.stat().st_size for file in published.rglob("*") if file.is_file()),
            }
        ),
        flush=True,
    )


def _mib(folder: Path) -> float:
    return round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / MIB, 1)


if __name__ == "__main__":
    main(sys.argv[1:])
