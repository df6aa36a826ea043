"""From answered rows to models: groups in Parquet, joint training, heads of new users."""

import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.feather as feather
import pyarrow.parquet as pq
import torch

from hydra_ray.config import Config
from hydra_ray.core.evidence import evidence, own_candidates
from hydra_ray.core.feedback import Row, adapter_candidates, reranker_labels_of_user
from hydra_ray.core.records import Split
from hydra_ray.core.tasks import load_task
from hydra_ray.core.text import is_match, texts_of
from hydra_ray.pipeline.context import Run
from hydra_ray.pipeline.rows import buckets_of, read_rows
from hydra_ray.train.artifact import TrainedScorer, UserHeads, save_heads
from hydra_ray.train.fit import L2_GRID, choose_l2, fit_heads
from hydra_ray.train.groups import Group, groups_to_table
from hydra_ray.train.user_rows import UserRows, pad_users

Module = Literal["reranker", "adapter"]

TUNING_USERS = 256
"""Training users that the pull of new heads is chosen on: their mean loss is then known to a few per cent."""


def groups_of_user(
    config: Config, module: Module, bucket: int, rows: Sequence[tuple[Row, dict[str, Any]]]
) -> list[Group]:
    """One user's training groups from (row, extra); rows without anything to score are left out."""
    task = load_task(config.data.task)
    if module == "reranker":
        labels = reranker_labels_of_user(task, [row for row, _ in rows], config.reranker.label)
        return [
            Group(
                row.user_id,
                bucket,
                row.query_id,
                row.text,
                row.right,
                tuple(label),
                tuple((share,) for share in extra["shares"]) if config.reranker.evidence else (),
            )
            for (row, extra), label in zip(rows, labels, strict=True)
            if row.right
        ]
    groups = []
    for row, extra in rows:
        right, label = adapter_candidates(task, row, config.adapter.label)
        if config.adapter.own_candidates and row.answers:
            more = own_candidates(extra["own"], right)
            right, label = right + more, label + [float(is_match(task, row.gold, text)) for text in more]
        beside: list[tuple[float, ...]] = []
        if config.adapter.evidence:
            samples = texts_of(task, row.answers[0] if row.answers else ())
            beside += evidence(task, right, samples, extra["own"], extra["supporters"])
        if right:
            groups.append(Group(row.user_id, bucket, row.query_id, row.text, tuple(right), tuple(label), tuple(beside)))
    return groups


def read_groups(
    config: Config, module: Module, folder: Path, buckets: Sequence[int], split: Split
) -> Iterator[list[Group]]:
    """The groups of each user of the given buckets and split."""
    for _, bucket, rows in read_rows(folder, buckets, split):
        yield groups_of_user(config, module, bucket, rows)


def chunks(buckets: Sequence[int], count: int) -> list[list[int]]:
    """`buckets` in at most `count` runs of nearly equal length."""
    return [part.tolist() for part in np.array_split(np.asarray(buckets, dtype=np.int64), max(1, count)) if len(part)]


def write_groups(run: Run, module: Module, answered: Path, out: Path) -> dict[str, int]:
    """The training users' groups as Parquet, one file per run of buckets, made by Ray Data. Returns counts."""
    import ray

    run.ray()
    config = run.config.model_dump(mode="json")

    def write(batch: dict[str, Any]) -> dict[str, Any]:
        parsed = Config.model_validate(config)
        counts: dict[str, list[int]] = {"groups": [], "rows": [], "positive": []}
        for number, buckets in zip(batch["number"], batch["buckets"], strict=True):
            groups = [g for user in read_groups(parsed, module, answered, list(buckets), "train") for g in user]
            pq.write_table(groups_to_table(groups), out / f"part-{int(number):05d}.parquet", compression="zstd")
            counts["groups"].append(len(groups))
            counts["rows"].append(sum(g.labelled for g in groups))
            counts["positive"].append(int(sum(np.nansum(g.label) for g in groups)))
        return {name: np.asarray(values) for name, values in counts.items()}

    # An attempt with other actors cut the buckets otherwise: none of its files may stay.
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    parts = chunks(buckets_of(answered), run.config.ray.actors)
    items = [{"number": i, "buckets": part} for i, part in enumerate(parts)]
    rows = ray.data.from_items(items).map_batches(write, batch_size=1).take_all()
    return {name: int(sum(row[name] for row in rows)) for name in ("groups", "rows", "positive")}


class FitBuckets:
    """Ray Data's callable: fits the heads of all test users of some buckets, leaves them in a folder of their own."""

    def __init__(
        self,
        config: dict[str, Any],
        module: Module,
        answered: Path,
        base: Path,
        vectors: Path | None,
        out: Path,
        l2: float,
    ) -> None:
        self._l2 = l2
        self._config = Config.model_validate(config)
        self._module: Module = module
        self._answered, self._out = answered, out
        self._scorer = TrainedScorer.load(base, None, vectors)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        users = []
        for number, buckets in zip(batch["number"], batch["buckets"], strict=True):
            folder = self._out / f"chunk-{int(number):05d}"
            if not (folder / "users.arrow").exists():
                self._fit(list(buckets), folder)
            table = feather.read_table(folder / "users.arrow")
            users.append(table.num_rows)
        return {"users": np.asarray(users)}

    def _fit(self, buckets: Sequence[int], folder: Path) -> None:
        per_user = [g for g in read_groups(self._config, self._module, self._answered, buckets, "test") if g]
        ids: list[str] = []
        parts: list[dict[str, torch.Tensor]] = []
        size = self._config.fit.batch_users
        for start in range(0, len(per_user), size):
            chunk = per_user[start : start + size]
            parts.append(fit_heads(self._scorer.scorer.head, encode(self._scorer, chunk), self._config.fit, self._l2))
            ids += [user[0].user_id for user in chunk]
        names = parts[0] if parts else self._scorer.scorer.head.zeros(0)
        save_heads(ids, {name: torch.cat([p[name] for p in parts]) for name in names} if parts else names, folder)


def encode(scorer: TrainedScorer, users: Sequence[Sequence[Group]]) -> UserRows:
    """The users' groups as padded rows of pair encodings."""
    encodings = iter(scorer.pair_encodings([group for user in users for group in user]))
    z = [np.concatenate([next(encodings) for _ in user]) for user in users]
    y = [np.asarray([x for group in user for x in group.label], dtype=np.float32) for user in users]
    return pad_users(z, y)


def tune_l2(config: Config, module: Module, answered: Path, base: Path, vectors: Path | None) -> dict[str, Any]:
    """What `choose_l2` finds on up to TUNING_USERS training users who have two queries or more."""
    scorer = TrainedScorer.load(base, None, vectors)
    # Bucket by bucket, so that no more is read than is used.
    found = (g for bucket in buckets_of(answered) for g in read_groups(config, module, answered, [bucket], "train"))
    users = list(islice((groups for groups in found if len(groups) > 1), TUNING_USERS))
    if not users or not scorer.scorer.head.delta_shapes():
        return {"l2": L2_GRID[-1], "tuning_users": len(users)}
    halves = encode(scorer, [user[::2] for user in users]), encode(scorer, [user[1::2] for user in users])
    l2, tried = choose_l2(scorer.scorer.head, halves, config.fit)
    return {"l2": l2, "tuning_users": len(users), "held_out_loss": {str(k): round(v, 5) for k, v in tried.items()}}


def fit_users(run: Run, module: Module, answered: Path, base: Path, out: Path) -> dict[str, Any]:
    """Fits every test user's head on the frozen base, on Ray Data over buckets; merges them into one artifact."""
    import ray

    run.ray()
    parts = chunks(buckets_of(answered), max(4, run.config.ray.actors * 4))
    # What an attempt with other actors has fitted is cut otherwise and must not be taken for a part of this one.
    scratch = out / "scratch" / f"of-{len(parts)}"
    items = [{"number": i, "buckets": part} for i, part in enumerate(parts)]
    config = run.config.model_dump(mode="json")
    found: dict[str, Any] = {"l2": run.config.fit.l2}
    if run.config.fit.l2 is None:
        found = tune_l2(run.config, module, answered, base, run.vector_cache)
        run.say(
            f"fit-{module}: l2 {found['l2']:g}, the best of {len(L2_GRID)} on {found['tuning_users']} training users"
        )
    ray.data.from_items(items).map_batches(
        FitBuckets,
        fn_constructor_args=(config, module, answered, base, run.vector_cache, scratch, found["l2"]),
        batch_size=1,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=run.config.ray.actors),
    ).take_all()
    heads = [UserHeads.load(folder) for folder in sorted(scratch.glob("chunk-*"))]
    users = [user for part in heads for user in part.row_of]
    names = heads[0].deltas if heads else {}
    save_heads(users, {name: torch.cat([h.deltas[name] for h in heads]) for name in names}, out)
    return {"users": len(users), **found}
