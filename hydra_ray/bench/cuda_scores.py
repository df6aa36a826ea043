"""Part of `hydra_ray.bench.cuda`: pairs scored per second, and how far the device's results are from the CPU's."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hydra_ray.bench.timing import interleaved
from hydra_ray.config import FitConfig, ModelConfig
from hydra_ray.models.encoder import TextEncoder, encode_texts
from hydra_ray.models.heads import Deltas, Head, make_head
from hydra_ray.models.scorer import PairScorer
from hydra_ray.training.artifacts.trained_scorer import TrainedScorer
from hydra_ray.training.joint.ranking_examples import RankingExample
from hydra_ray.training.user_fit.padded_users import PaddedUsers
from hydra_ray.training.user_fit.solver import solve_heads
from hydra_ray.utils.device import CPU, free_memory

WIDTH = 384
"""MiniLM's."""
TUNED = {"l2": 0.01}
RANK = 8


@dataclass(frozen=True, slots=True)
class ScoreSizes:
    """What is measured.

    Attributes:
        queries: Scored in one call.
        candidates: Of each query.
        users: Who ask them.
        width: Z of the heads that are fitted for the comparison.
        repeats: Timed calls.
    """

    queries: int
    candidates: int
    users: int
    width: int
    repeats: int


LARGE = ScoreSizes(4096, 8, 1024, 68, 5)
SMALL = ScoreSizes(6, 3, 2, 12, 1)


class TableHeads:
    """Heads that lie on one device; see `HeadProvider`."""

    def __init__(self, head: Head, users: int, device: torch.device) -> None:
        draw = torch.Generator().manual_seed(0)
        self._table = {
            name: torch.randn(users, *shape, generator=draw).mul_(0.1).to(device)
            for name, shape in head.delta_shapes().items()
        }

    def of(self, user_ids: Sequence[str]) -> Deltas:
        """See `HeadProvider`. user_ids: their rows in the table."""
        rows = torch.tensor([int(user) for user in user_ids])
        return {name: value.index_select(0, rows.to(value.device)) for name, value in self._table.items()}


def make_scorer(kind: str, sizes: ScoreSizes, device: torch.device) -> TrainedScorer:
    """A random base and random heads; embeddings are looked up, as the service's scorer does for texts it knows."""
    torch.manual_seed(0)
    config = ModelConfig(pair="bi_encoder", head=kind, dropout=0.0)
    scorer = PairScorer(config, None, WIDTH).eval()
    assert isinstance(scorer.head, Head)
    kept = np.random.default_rng(0).standard_normal((sizes.queries + sizes.candidates, WIDTH), dtype=np.float32)

    def look_up(texts: Sequence[str]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = kept[[int(text) for text in texts]]
        return found

    heads = TableHeads(scorer.head, sizes.users, device)
    budget = None if device == CPU else free_memory(device, 1.0)
    return TrainedScorer(scorer, heads, encode=look_up, device=device, budget=budget)


def make_queries(sizes: ScoreSizes) -> list[RankingExample]:
    """Every query has the same candidates; a text is its row among the embeddings."""
    right = tuple(str(sizes.queries + place) for place in range(sizes.candidates))
    return [
        RankingExample(str(query % sizes.users), 0, str(query), str(query), right, (0.0,) * len(right))
        for query in range(sizes.queries)
    ]


def pairs_per_second(sizes: ScoreSizes, device: torch.device) -> dict[str, float]:
    """kind -> pairs scored per second, all in one call."""
    queries, pairs = make_queries(sizes), sizes.queries * sizes.candidates
    found = {}
    for kind in ("linear", "low_rank", "dense"):
        work = partial(make_scorer(kind, sizes, device).score, queries)
        found[kind] = round(pairs / interleaved({kind: work}, sizes.repeats, device)[kind], 1)
    return found


def differences(sizes: ScoreSizes, device: torch.device) -> dict[str, Any]:
    """The largest absolute differences between the device's results and the CPU's, in fp32 without TF32.

    Returns:
        `fit`: kind -> of a number of the users' deltas; `score`: kind -> of log-odds; `encode`: of a number of MiniLM's
        embeddings.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        return {
            "fit": {kind: _fit_difference(kind, sizes, device) for kind in ("linear", "low_rank", "dense")},
            "score": {kind: _score_difference(kind, sizes, device) for kind in ("linear", "low_rank", "dense")},
            "encode": _encode_difference(device),
        }
    finally:
        torch.set_float32_matmul_precision(before)


def _fit_difference(kind: str, sizes: ScoreSizes, device: torch.device) -> float:
    draw = torch.Generator().manual_seed(0)
    z_URZ = torch.randn(32, 40, sizes.width, generator=draw)
    taste_UZ = torch.randn(32, sizes.width, generator=draw)
    label_UR = (torch.einsum("urz,uz->ur", z_URZ, taste_UZ) > 0).float()
    rows = PaddedUsers(z_URZ, label_UR, torch.ones_like(label_UR), (torch.arange(40) // 10).expand(32, -1))

    def fitted(where: torch.device) -> Deltas:
        torch.manual_seed(0)
        head = make_head(kind, sizes.width, RANK, 0.0).to(where)
        return solve_heads(head, rows.to(where), TUNED, FitConfig(epochs=20), "bce").to(CPU).deltas

    here, there = fitted(CPU), fitted(device)
    return _digits(max(float((here[name] - there[name]).abs().max()) for name in here))


def _score_difference(kind: str, sizes: ScoreSizes, device: torch.device) -> float:
    queries = make_queries(sizes)[:64]
    here, there = (np.concatenate(make_scorer(kind, sizes, where).score(queries)) for where in (CPU, device))
    return _digits(float(np.abs(here - there).max()))


def _encode_difference(device: torch.device) -> float:
    encoder, texts = TextEncoder(ModelConfig()).eval(), ["rain over the harbour", "a late letter", "budget " * 60]
    here = encode_texts(encoder, texts)
    there = encode_texts(encoder.to(device), texts)
    return _digits(float(np.abs(here - there).max()))


def _digits(value: float) -> float:
    return float(f"{value:.2g}")
