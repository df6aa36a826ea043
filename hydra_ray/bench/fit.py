"""`hydra-ray bench fit`: fitting new users' heads on pair embeddings computed once, against computing them each step.

Users of the synthetic world; a row is a (question, history item) pair that MiniLM reads at once (`model.pair:
cross_encoder`), labelled by whether the two have the same answer. Both sides: the same encoder, frozen and without
dropout, the same rows, batches of texts, epochs and optimiser (Adam on all users of the bench at once), `linear` heads,
so that they compute the same; that is checked. The recomputing side tokenises once. `cpu_ratio` is the ratio of the
process's CPU time: where it differs from `ratio`, something else kept the machine busy.
"""

import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from hydra_ray.config import FitConfig, ModelConfig
from hydra_ray.models.encoder import TextEncoder
from hydra_ray.models.heads import Deltas, Head, make_head, scores
from hydra_ray.models.losses import query_losses
from hydra_ray.synth.world import make_user
from hydra_ray.training.user_fit.fit import fit_heads
from hydra_ray.training.user_fit.padded_users import PaddedUsers
from hydra_ray.training.user_fit.solver import Tuned, solve_heads

EPOCHS = (2, 10, 50)
ASKED, SHOWN = 4, 6
"""Queries of a user that are learned from (as many again are held out), and history items paired with each."""
L2, PRECISION = 0.03, 4.0
"""The pull towards the shared head: of what is learned in epochs, and of `bayesian_linear`."""
TEXTS = 32
"""Pairs in one batch of the encoder."""
REPEATS, LONG = 2, 10
"""Each side runs REPEATS times or more, with more than LONG epochs once."""
SOLVE_EPOCHS = 60
SOLVE_ROWS, SOLVE_WIDTH, SOLVE_RANK = 40, 68, 8
"""Shape of the solve alone: 4 queries of 10 rows; the default adapter's 64 concepts and 4 features."""
KINDS: tuple[str, ...] = ("linear", "low_rank", "dense", "bayesian_linear")


def run(args: Namespace) -> dict[str, Any]:
    """Measures and returns the figures; `ratio` is that of users per second at 10 epochs.

    args: `users` (fitted by both sides, default 4), `epochs` (default EPOCHS), `solve_users` (per head kind, pair
    embeddings given; default 1,000). Raises AssertionError if both sides' heads differ by more than rounding.
    """
    users, epochs = int(getattr(args, "users", 4)), tuple(getattr(args, "epochs", EPOCHS))
    torch.manual_seed(0)
    encoder = TextEncoder(ModelConfig(pair="cross_encoder", encoder="minilm")).eval()
    head = make_head("linear", encoder.width, SOLVE_RANK, 0.0)
    pairs, label, learned = user_pairs(users)
    # The held-out rows, which no side is timed on; encoding them warms up.
    kept = encode(encoder, token_batches(encoder, pairs, (~learned).flatten().nonzero().flatten()), label.shape)
    figures = {str(n): _both_sides(encoder, head, pairs, label, learned, kept, n) for n in epochs}
    middle = figures.get("10", figures[str(epochs[-1])])
    return {
        "ratio": middle["ratio"],
        "epochs": figures,
        "users": users,
        "rows_per_user": ASKED * SHOWN,
        "solve_alone": solve_alone(int(getattr(args, "solve_users", 1000))),
        "threads": torch.get_num_threads(),
    }


def user_pairs(users: int) -> tuple[list[tuple[str, str]], Tensor, Tensor]:
    """All users' pairs in order, labels [U, R], and which rows are learned from (bool [U, R]), the others held out."""
    pairs, labels = [], []
    for index in range(users):
        user = make_user("tagging", 0, index, (SHOWN, SHOWN), 2 * ASKED, "bench")
        for query in user.questions:
            pairs += [(query.text, item.text) for item in user.items]
            labels += [float(query.answer == item.answer) for item in user.items]
    label_UR = torch.tensor(labels).view(users, 2 * ASKED * SHOWN)
    learned_UR = (torch.arange(2 * ASKED * SHOWN) < ASKED * SHOWN).expand(users, -1)
    return pairs, label_UR, learned_UR


Batches = list[tuple[Tensor, dict[str, Tensor]]]
"""Rows' places (int64 [n]) and their tokens."""


def token_batches(encoder: TextEncoder, pairs: Sequence[tuple[str, str]], places: Tensor) -> Batches:
    """The pairs at `places` (int64), in batches of like length so that little is padded."""
    order = sorted(places.tolist(), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
    chunks = [order[start : start + TEXTS] for start in range(0, len(order), TEXTS)]
    return [
        (torch.tensor(chunk), encoder.tokens([pairs[i][0] for i in chunk], [pairs[i][1] for i in chunk]))
        for chunk in chunks
    ]


@torch.no_grad()
def encode(encoder: TextEncoder, batches: Batches, shape: Sequence[int]) -> Tensor:
    """Pair embeddings [U, R, D] of the rows in `batches`, zero elsewhere."""
    z = torch.zeros(shape[0] * shape[1], encoder.width)
    for places, tokens in batches:
        z[places] = encoder(tokens)
    return z.view(*shape, encoder.width)


def fit_once(encode_rows: Callable[[], Tensor], head: Head, rows: PaddedUsers, config: FitConfig) -> Deltas:
    """Our side: every row is encoded once, then all epochs."""
    return fit_heads(head, PaddedUsers(encode_rows(), rows.label, rows.mask, rows.query), config, L2)


def fit_recomputing(encode_rows: Callable[[], Tensor], head: Head, rows: PaddedUsers, config: FitConfig) -> Deltas:
    """The other side: every step encodes its rows anew, as a training loop over texts does; torch's AdamW."""
    head.eval().requires_grad_(False)
    deltas = {name: value.requires_grad_() for name, value in head.zeros(len(rows)).items()}
    optimizer = torch.optim.AdamW(list(deltas.values()), lr=config.lr, weight_decay=0.0)
    for _ in range(config.epochs):
        optimizer.zero_grad()
        loss_U = query_losses(scores(head(encode_rows(), deltas)), rows.label, rows.mask, "bce")
        prior_U = sum((value.flatten(1).square().sum(1) for value in deltas.values()), torch.zeros(len(rows)))
        torch.autograd.backward((loss_U / rows.mask.sum(1) + L2 * prior_U).sum())
        optimizer.step()
    return {name: value.detach() for name, value in deltas.items()}


def _both_sides(
    encoder: TextEncoder,
    head: Head,
    pairs: list[tuple[str, str]],
    label_UR: Tensor,
    learned_UR: Tensor,
    kept_URZ: Tensor,
    epochs: int,
) -> dict[str, Any]:
    users = len(label_UR)
    config = FitConfig(epochs=epochs)
    rows = PaddedUsers(
        torch.zeros(*label_UR.shape, 0),  # pair embeddings are each side's own business
        label_UR,
        learned_UR.float(),
        torch.arange(2 * ASKED).repeat_interleave(SHOWN).expand(users, -1),
    )
    places = learned_UR.flatten().nonzero().flatten()
    sides = {"cached": fit_once, "recomputed": fit_recomputing}
    wall: dict[str, list[float]] = {name: [] for name in sides}
    cpu: dict[str, list[float]] = {name: [] for name in sides}
    deltas: dict[str, Deltas] = {}
    # The short side runs before and after every run of the long one, so that a change of the machine's load meets both.
    for name in ["cached", "recomputed"] * (REPEATS if epochs <= LONG else 1) + ["cached"]:
        began, worked = time.perf_counter(), time.process_time()
        batches = token_batches(encoder, pairs, places)
        deltas[name] = sides[name](partial(encode, encoder, batches, label_UR.shape), head, rows, config)
        wall[name].append(time.perf_counter() - began)
        cpu[name].append(time.process_time() - worked)
    seconds, work = ({name: mean(values) for name, values in side.items()} for side in (wall, cpu))
    apart = max(float((deltas["cached"][n] - deltas["recomputed"][n]).abs().max()) for n in deltas["cached"])
    if apart > 1e-3:
        raise AssertionError(f"both sides must compute the same heads, but they differ by {apart:g}")
    right = {name: _accuracy(head, kept_URZ, d, label_UR, ~learned_UR) for name, d in deltas.items()}
    return {
        "ratio": round(seconds["recomputed"] / seconds["cached"], 2),
        "cpu_ratio": round(work["recomputed"] / work["cached"], 2),
        "seconds": {name: [round(s, 3) for s in values] for name, values in wall.items()},
        "cpu_seconds": {name: [round(s, 3) for s in values] for name, values in cpu.items()},
        "users_per_s": {name: round(users / s, 3) for name, s in seconds.items()},
        "held_out_accuracy": {name: round(x, 4) for name, x in right.items()},
        "largest_difference": apart,
    }


@torch.no_grad()
def _accuracy(head: Head, z_URZ: Tensor, deltas: Deltas, label_UR: Tensor, kept_UR: Tensor) -> float:
    return float(((scores(head(z_URZ, deltas)) > 0) == (label_UR > 0.5))[kept_UR].float().mean())


def solve_alone(users: int) -> dict[str, Any]:
    """Users per second of the main job's fit on given pair embeddings (its tests on the user's held-out queries
    included), per head kind, in batches of `fit.batch_users` as there; one untimed fit of a few users goes before.
    Every user has a linear taste, blurred by noise."""
    generator = torch.Generator().manual_seed(0)
    z_URZ = torch.randn(users, SOLVE_ROWS, SOLVE_WIDTH, generator=generator)
    taste_UR = (z_URZ @ torch.randn(users, SOLVE_WIDTH, 1, generator=generator)).squeeze(-1) / SOLVE_WIDTH**0.5
    label_UR = (taste_UR + torch.randn(users, SOLVE_ROWS, generator=generator) > 0).float()
    query_UR = torch.arange(SOLVE_ROWS).expand(users, -1) // (SOLVE_ROWS // ASKED)
    rows = PaddedUsers(z_URZ, label_UR, torch.ones_like(label_UR), query_UR)
    size = FitConfig().batch_users
    batches = [torch.arange(start, min(start + size, users)) for start in range(0, users, size)]
    per_s = {}
    for kind in KINDS:
        _solve(kind, rows.users(batches[0][:8]))
        began = time.perf_counter()
        for batch in batches:
            _solve(kind, rows.users(batch))
        per_s[kind] = round(users / (time.perf_counter() - began))
    shape = {"users": users, "rows": SOLVE_ROWS, "width": SOLVE_WIDTH, "rank": SOLVE_RANK, "epochs": SOLVE_EPOCHS}
    return {"users_per_s": per_s, **shape}


def _solve(kind: str, rows: PaddedUsers) -> None:
    head = make_head(kind, SOLVE_WIDTH, SOLVE_RANK, 0.0).requires_grad_(False)
    tuned: Tuned = {"l2": L2, "precision": [PRECISION] * (SOLVE_WIDTH + 1)}
    solve_heads(head, rows, tuned, FitConfig(epochs=SOLVE_EPOCHS), "bce")
