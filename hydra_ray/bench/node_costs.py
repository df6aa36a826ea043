"""`python -m hydra_ray.bench.node_costs`: memory and disk per user, per text and per node, from formulas of the code.

The figures of `docs/design/costs.md`, "Memory and disk". Bytes of arrays are counted from shapes; what Python keeps of
ids and training rows is measured with tracemalloc.
"""

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

from hydra_ray.models.heads import make_head, parameters_per_user
from hydra_ray.store.embeddings.keys import KEY_BYTES
from hydra_ray.training.joint.head_plan import HeadSizes
from hydra_ray.training.joint.ranking_examples import RankingExample, TextIndex
from hydra_ray.training.joint.user_head_table import UserHeadTable
from hydra_ray.training.user_fit.batch_sizes import BatchSizes

RANK, BATCH_USERS, FIT_ROWS = 8, 256, 80
WIDTHS = (68, 768)
GPU, NODE = int(0.85 * 80e9), int(0.85 * 1e12)
"""What is planned for of a GPU of 80 GB and of a node of 1 TB."""
MEASURED = 100_000
"""Users, or queries, whose Python objects are measured."""
CANDIDATES = 8
HALF, FLOAT, INT = 2, 4, 4


def text_bytes(width: int) -> int:
    """What the store of embeddings keeps of a text: its key, and `width` numbers in fp16."""
    return KEY_BYTES + HALF * width


def feature_bytes(rows: int, width: int) -> int:
    """What a bucket's file keeps of a user's rows: `width` numbers in fp16, label, and numbers of user and query."""
    return rows * (HALF * width + FLOAT + 2 * INT)


def run() -> dict[str, Any]:
    """heads: width -> kind -> bytes of a user in training, users on a GPU of 80 GB, in a node of 1 TB, and of a fit's
    batch on the GPU. text_bytes, feature_bytes: by width. index_bytes: of a user's id in a training worker's table.
    example_bytes: of a training query with CANDIDATES candidates of its own."""
    return {
        "heads": {
            str(width): {kind: _of_kind(kind, width) for kind in ("linear", "low_rank", "dense")} for width in WIDTHS
        },
        "text_bytes": {str(width): text_bytes(width) for width in (384, 768, 1024)},
        "feature_bytes": {str(width): feature_bytes(FIT_ROWS, width) for width in WIDTHS},
        "index_bytes": index_bytes(MEASURED),
        "example_bytes": example_bytes(MEASURED // 10),
    }


def _of_kind(kind: str, width: int) -> dict[str, int]:
    numbers = parameters_per_user(kind, width, RANK)
    sizes = HeadSizes(10**12, numbers, BATCH_USERS)
    return {
        "user_bytes": sizes.user_bytes,
        "users_on_gpu": sizes.most(GPU),
        "users_in_node": max(0, NODE - sizes.staged_bytes) // sizes.user_bytes,
        "fit_users_on_gpu": GPU // BatchSizes(1, GPU, width, numbers).user_bytes(FIT_ROWS),
    }


def index_bytes(users: int) -> float:
    """Bytes a user of the table's ids, rows and buckets, the ids' texts included."""

    def build() -> UserHeadTable:
        ids = (f"u{i:08d}" for i in range(users))
        return UserHeadTable(make_head("shared", 4, RANK, 0.0), dict.fromkeys(ids, 0))

    return round(_measured(build) / users, 1)


def example_bytes(queries: int) -> float:
    """Bytes of a training query: itself, its candidates of 60 characters, and their places among the texts."""

    def build() -> tuple[list[RankingExample], TextIndex]:
        made = [
            RankingExample(
                f"u{i:08d}",
                0,
                f"q{i}",
                f"{i:060d}",
                tuple(f"{i}-{place:058d}" for place in range(CANDIDATES)),
                tuple(float(place == 0) for place in range(CANDIDATES)),
            )
            for i in range(queries)
        ]
        return made, TextIndex(made)

    return round(_measured(build) / queries, 1)


def _measured(build: Callable[[], object]) -> float:
    """Bytes that Python objects take which stay after `build`."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = build()
        after = tracemalloc.get_traced_memory()[0]
        del kept
    finally:
        tracemalloc.stop()
    return float(after - before)


if __name__ == "__main__":
    print(json.dumps(run()))
