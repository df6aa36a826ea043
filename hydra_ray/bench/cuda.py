"""`python -m hydra_ray.bench.cuda` or `hydra-ray bench cuda`: every numeric stage on one CUDA device, without Ray.

Measures the fit of new users' heads, a training step's gather, forward and backward, how many dense heads the device
holds, whole training steps (`cuda_steps`), encoding (`cuda_encode`), scoring, and how far all that is from the CPU's
results (`cuda_scores`). Shares of bandwidth are the bytes that must move, counted from shapes, over time, over what a
large copy on the device reaches in the same run (read and written); activations are not counted, so the shares are
lower bounds. `--device cpu` runs the same code on small shapes: its figures say nothing.
"""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from hydra_ray.bench import cuda_encode, cuda_scores, cuda_steps
from hydra_ray.bench.cuda_encode import encode_rates
from hydra_ray.bench.cuda_scores import differences, pairs_per_second
from hydra_ray.bench.cuda_steps import step_times
from hydra_ray.bench.heads import BATCH, RANK, gathered_step, make_batch, make_table, one_hot_step
from hydra_ray.bench.timing import interleaved
from hydra_ray.config import FitConfig
from hydra_ray.errors import UserError
from hydra_ray.models.heads import Deltas, make_head, parameters_per_user
from hydra_ray.training.user_fit.fit import fit_heads
from hydra_ray.training.user_fit.padded_users import PaddedUsers
from hydra_ray.utils.device import has_accelerator, release_memory

REPEATS = 5
FLOAT = 4
"""Bytes of a float32."""
KEPT_FREE = 2 << 30
"""Bytes left for a step's own tensors next to the resident heads."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What is measured. fit_users: users fitted together, per kind. rows: of a user, ten queries of ten.

    compared: users of the table that the one-hot product is tried on. copy: bytes. memory: of resident heads (None: all
    that is free less KEPT_FREE).
    """

    width: int
    rows: int
    epochs: int
    fit_users: dict[str, int]
    compared: int
    copy: int
    memory: int | None


LARGE = Sizes(768, 100, 60, {"linear": 8192, "low_rank": 4096, "dense": 1024}, 1000, 4 << 30, None)
"""For 80 GB: the largest problem, `dense`, takes some 25 GB."""
SMALL = Sizes(16, 4, 2, {"linear": 8, "low_rank": 8, "dense": 4}, 70, 1 << 20, 1 << 20)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measures and returns the figures, times as medians.

    args: `device` (default cuda). ratio: the one-hot product's time over ours at the users compared. fit: per kind
    `users_per_s` and `bandwidth_share`. heads: `ours_ms`, `one_hot_ms`, `bandwidth_share` of a batch of 64 dense heads;
    resident_ms: the same step on the largest table. resident: dense heads held, verified by holding them. steps: see
    `step_times`. encode: see `encode_rates`. score: see `pairs_per_second`. difference: see `differences`.
    Raises UserError if there is no such device.
    """
    device = _device(str(getattr(args, "device", "cuda")))
    sizes = _sizes(device)
    torch.manual_seed(0)
    bandwidth = copy_bandwidth(device, sizes.copy)
    fit = {kind: _fit(kind, users, sizes, device, bandwidth) for kind, users in sizes.fit_users.items()}
    heads = _heads(sizes, device, bandwidth)
    resident, resident_ms = _resident(sizes, device)
    large = device.type == "cuda"
    release_memory(device)
    steps = step_times(cuda_steps.LARGE if large else cuda_steps.SMALL, device)
    release_memory(device)
    score_sizes = cuda_scores.LARGE if large else cuda_scores.SMALL
    return {
        "ratio": heads["ratio"],
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "copy_gb_per_s": round(bandwidth / 1e9, 1),
        "fit": fit,
        "heads": {**heads, "resident_ms": resident_ms},
        "resident_dense_heads": resident,
        "resident_gb": round(resident * parameters_per_user("dense", sizes.width, RANK) * FLOAT / 1e9, 2),
        "steps": steps,
        "encode": encode_rates(cuda_encode.LARGE if large else cuda_encode.SMALL, device),
        "score": pairs_per_second(score_sizes, device),
        "difference": differences(score_sizes, device),
        "width": sizes.width,
        "rows_per_user": sizes.rows,
        "epochs": sizes.epochs,
        "torch": torch.__version__,
    }


def _sizes(device: torch.device) -> Sizes:
    """LARGE with as many users as the device's memory is a share of 80 GB, or SMALL."""
    if device.type != "cuda":
        return SMALL
    share = min(1.0, torch.cuda.get_device_properties(device).total_memory / 80e9)
    return replace(LARGE, fit_users={kind: max(1, int(users * share)) for kind, users in LARGE.fit_users.items()})


def copy_bandwidth(device: torch.device, size: int) -> float:
    """Bytes per second that a copy of `size` bytes on the device reads and writes."""
    source = torch.ones(size // FLOAT, device=device)
    target = torch.empty_like(source)
    spent = interleaved({"copy": partial(target.copy_, source)}, REPEATS, device)["copy"]
    return 2 * size / spent


def fit_bytes(kind: str, users: int, sizes: Sizes) -> int:
    """The least bytes that the epochs of a fit move.

    Each epoch reads the users' pair embeddings in forward and backward, and moves each number of a delta eleven times:
    read by forward, backward and the prior; its gradient written; Adam reads it, its gradient and two moments, and
    writes it and the moments.
    """
    pair_embeddings = users * sizes.rows * sizes.width
    deltas = users * parameters_per_user(kind, sizes.width, RANK)
    return sizes.epochs * FLOAT * (2 * pair_embeddings + 11 * deltas)


def step_bytes(width: int) -> int:
    """The least that a step moves for 64 dense heads: read and written by `take_rows`, read forward and backward, and
    their gradient written."""
    return 5 * FLOAT * BATCH * parameters_per_user("dense", width, RANK)


def _device(name: str) -> torch.device:
    if name.startswith("cuda") and not has_accelerator():
        raise UserError("bench cuda: PyTorch finds no CUDA device here; give --device cpu to try the same code, small")
    return torch.device(name)


def _fit(kind: str, users: int, sizes: Sizes, device: torch.device, bandwidth: float) -> dict[str, float]:
    release_memory(device)
    head = make_head(kind, sizes.width, RANK, 0.0).to(device)
    config = FitConfig(epochs=sizes.epochs)
    work = partial(fit_heads, head, _rows(users, sizes, device), config, 0.01)
    spent = interleaved({"fit": work}, REPEATS, device)["fit"]
    moved = fit_bytes(kind, users, sizes)
    return {
        "users": users,
        "seconds": round(spent, 4),
        "users_per_s": round(users / spent, 1),
        "bandwidth_share": _digits(moved / spent / bandwidth),
    }


def _rows(users: int, sizes: Sizes, device: torch.device) -> PaddedUsers:
    """Made-up rows of users who prefer different directions; up to ten rows a query."""
    z_URZ = torch.randn(users, sizes.rows, sizes.width, device=device)
    taste_UZ = torch.randn(users, sizes.width, device=device)
    label_UR = (torch.einsum("urz,uz->ur", z_URZ, taste_UZ) > 0).float()
    query_UR = (torch.arange(sizes.rows, device=device) // 10).expand(users, -1)
    return PaddedUsers(z_URZ, label_UR, torch.ones_like(label_UR), query_UR)


def _heads(sizes: Sizes, device: torch.device, bandwidth: float) -> dict[str, float]:
    release_memory(device)
    head = make_head("dense", sizes.width, RANK, 0.0).to(device)
    table = {name: value.to(device) for name, value in make_table(head, sizes.compared).items()}
    batch = make_batch(sizes.compared, sizes.width, device)
    ways = {
        "ours": partial(gathered_step, head, table, batch, Deltas()),
        "one_hot": partial(one_hot_step, head, table, batch),
    }
    spent = interleaved(ways, REPEATS, device)
    return {
        "users": sizes.compared,
        "ours_ms": round(1e3 * spent["ours"], 3),
        "one_hot_ms": round(1e3 * spent["one_hot"], 3),
        "ratio": round(spent["one_hot"] / spent["ours"], 2),
        "bandwidth_share": _digits(step_bytes(sizes.width) / spent["ours"] / bandwidth),
    }


def _resident(sizes: Sizes, device: torch.device) -> tuple[int, float]:
    """The dense heads that fit, held at once and written throughout, and the milliseconds of a step on them."""
    release_memory(device)
    memory = sizes.memory if sizes.memory is not None else torch.cuda.mem_get_info(device)[0] - KEPT_FREE
    users = memory // (FLOAT * parameters_per_user("dense", sizes.width, RANK))
    head = make_head("dense", sizes.width, RANK, 0.0).to(device)
    table: dict[str, Tensor] = {
        name: torch.full((users, *shape), 0.001, device=device) for name, shape in head.delta_shapes().items()
    }
    held = sum(math.prod(value.shape[1:]) for value in table.values())
    if held != parameters_per_user("dense", sizes.width, RANK):
        raise RuntimeError(f"{held} numbers per head were held, not a whole head")
    work = partial(gathered_step, head, table, make_batch(users, sizes.width, device), Deltas())
    spent = interleaved({"step": work}, REPEATS, device)["step"]
    return users, round(1e3 * spent, 3)


def _digits(value: float) -> float:
    """Three of them."""
    return float(f"{value:.3g}")


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the figures as one JSON object; 2 and one line on stderr if there is no such device."""
    parser = argparse.ArgumentParser(prog="python -m hydra_ray.bench.cuda", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    try:
        print(json.dumps(run(parser.parse_args(argv))))
    except UserError as error:
        parser.exit(2, f"hydra-ray: error: {error}\n")
    return 0


if __name__ == "__main__":
    main()
