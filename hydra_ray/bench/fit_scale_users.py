"""The users of `bench fit-scale`: a fit whose features are drawn instead of encoded, and a few whose texts are.

The shape is the default adapter's: 64 concepts and 4 features, ten queries of 8 rows. Each user has a taste
of their own, drawn from one normal distribution, and their labels follow it as a logistic regression's do.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hydra_ray.config import Config
from hydra_ray.core.hashing import bucket_of
from hydra_ray.models.scorer import PairScorer
from hydra_ray.pipeline.fit_spec import FitSpec, encode
from hydra_ray.synth.world import make_user
from hydra_ray.training.artifacts.trained_scorer import TrainedScorer, save_base
from hydra_ray.training.joint.ranking_examples import RankingExample
from hydra_ray.training.user_fit.features import UserFeatures

QUERIES, SHOWN, FEATURE_WIDTH = 10, 8, 4
ROWS = QUERIES * SHOWN
USERS_PER_BUCKET = 1_000
TASTE = 3.3
"""Standard deviation of a taste's weights, times the root of their number: log-odds of 2 on tanh of normal numbers."""
L2 = 0.03
"""The pull is given: choosing it is a fixed cost, on as many training users however many are fitted."""
ENCODER_WIDTH = 384
SHAPE_OF_USER = {"queries": QUERIES, "rows_of_a_query": SHOWN, "features": FEATURE_WIDTH, "taste": TASTE, "l2": L2}


def make_config(kind: str, users: int) -> Config:
    """Defaults, but for the head kind, the pull, the number of buckets, and workers for any number of users."""
    fit, data = {"l2": L2, "guard": 0}, {"buckets": max(1, users // USERS_PER_BUCKET)}
    resources = {"few_in_driver": False}
    return Config.model_validate({"model": {"head": kind}, "fit": fit, "data": data, "resources": resources})


@dataclass(frozen=True)
class DrawnFit(FitSpec):
    """A fit of made-up users. members: file with their numbers [N], bucket by bucket, and where each bucket starts."""

    members: Path

    def by_bucket(self) -> dict[int, list[str]]:
        return {bucket: [] for bucket in range(self.config.data.buckets)}

    def encoded(self, scorer: TrainedScorer, bucket: int, known: Mapping[str, str] | None = None) -> list[UserFeatures]:
        with np.load(self.members) as found:
            mine = found["users"][found["starts"][bucket] : found["starts"][bucket + 1]]
        return draw([user_id(int(i)) for i in mine], scorer.scorer.head.width, bucket)


def drawn_fit(config: Config, users: int, folder: Path) -> DrawnFit:
    """The fit of `users` users, on a base of random weights; what it needs is written below `folder`."""
    buckets = config.data.buckets
    bucket_N = np.fromiter((bucket_of(user_id(i), buckets) for i in range(users)), np.int32, users)
    starts = np.concatenate([[0], np.bincount(bucket_N, minlength=buckets).cumsum()])
    np.savez(folder / "members.npz", users=np.argsort(bucket_N, kind="stable").astype(np.int32), starts=starts)
    base = random_base(config, folder / "base")
    nowhere = folder / "nothing"
    kind, features = config.model.head, folder / "features"
    return DrawnFit(config, "adapter", kind, ("test",), (), nowhere, nowhere, base, None, features, None, None,
                    folder / "members.npz")  # fmt: skip


def random_base(config: Config, folder: Path) -> Path:
    """An untrained base, the same every time; returns its folder."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        scorer = PairScorer(config.model, None, ENCODER_WIDTH, False, FEATURE_WIDTH)
    save_base(scorer.state_dict(), config.model, ENCODER_WIDTH, FEATURE_WIDTH, folder, symmetric=False)
    return folder


def user_id(index: int) -> str:
    """The id of a made-up user."""
    return f"user{index:08d}"


def draw(ids: Sequence[str], width: int, seed: int) -> list[UserFeatures]:
    """Users with a taste: z normal, labels by the log-odds tanh(z) · taste."""
    rng = np.random.default_rng(seed % (1 << 32))
    query_R = np.repeat(np.arange(QUERIES), SHOWN)
    users = []
    for user in ids:
        z_RZ: NDArray[np.float32] = rng.standard_normal((ROWS, width), np.float32)
        taste_Z = TASTE / width**0.5 * rng.standard_normal(width, np.float32)
        label_R = (rng.logistic(size=ROWS) < np.tanh(z_RZ) @ taste_Z).astype(np.float32)
        users.append(UserFeatures(user, z_RZ, label_R, query_R, f"{seed:x}"))
    return users


def encoding(users: int) -> dict[str, float]:
    """What encoding the texts of `users` users takes in one process on one thread, the encoder loaded before: seconds
    and processor seconds per 1,000 users."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="hydra_ray_bench_") as folder:
        scorer = TrainedScorer.load(random_base(make_config("linear", 1), Path(folder)))
        encode(scorer, list(texts(1)))
        found = list(texts(users, first=1))
        began, worked = time.perf_counter(), time.process_time()
        encode(scorer, found)
        spent = {"s_per_1000": time.perf_counter() - began, "cpu_s_per_1000": time.process_time() - worked}
    return {"users": users, **{name: round(value / users * 1000, 2) for name, value in spent.items()}}


def texts(users: int, first: int = 0) -> Iterator[list[RankingExample]]:
    """Users of the synthetic world, each question with the same SHOWN items."""
    blank = ((0.0,) * FEATURE_WIDTH,) * SHOWN
    for index in range(first, first + users):
        user = make_user("tagging", 0, index, (SHOWN, SHOWN), QUERIES, "bench")
        candidates = tuple(item.text for item in user.items)
        yield [
            RankingExample(user.user_id, 0, q.item_id, q.text, candidates, tuple(float(i.answer == q.answer) for i in
            user.items),
                  blank)
            for q in user.questions
        ]  # fmt: skip
