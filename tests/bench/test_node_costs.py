"""The formulas of the cost model against what is really allocated and written, small; and against the page."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from hydra_ray.bench.node_costs import example_bytes, feature_bytes, index_bytes, run, text_bytes
from hydra_ray.config import FitConfig
from hydra_ray.models.heads import make_head, parameters_per_user
from hydra_ray.models.losses import loss_sum
from hydra_ray.store.embeddings.fragment import write_fragment
from hydra_ray.store.embeddings.keys import text_keys
from hydra_ray.store.embeddings.spec import EmbeddingSpec
from hydra_ray.training.joint.head_plan import HeadSizes, Place
from hydra_ray.training.joint.user_head_table import UserHeadTable
from hydra_ray.training.user_fit.batch_sizes import BatchSizes
from hydra_ray.training.user_fit.features import UserFeatures, save_features
from hydra_ray.training.user_fit.padded_users import pad_users
from hydra_ray.training.user_fit.solver import solve_heads
from hydra_ray.utils.device import CPU
from tests.allocations import LiveBytes

WIDTH, RANK, USERS, BATCH = 64, 8, 96, 32
KINDS = ("linear", "low_rank", "dense")
PAGE = Path(__file__).parents[2] / "docs" / "design" / "costs.md"


def make_table(kind: str, place: Place) -> tuple[torch.nn.Module, UserHeadTable, HeadSizes]:
    head = make_head(kind, WIDTH, RANK, 0.0)
    table = UserHeadTable(head, {str(user): 0 for user in range(USERS)}, CPU, place)
    return head, table, HeadSizes(USERS, parameters_per_user(kind, WIDTH, RANK), BATCH)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["device", "host"])
def test_a_table_and_its_step_take_what_is_planned_for(kind: str, place: Place) -> None:
    """With the table in the node's memory, what is staged there is the same memory here as what is on the device."""
    head, table, sizes = make_table(kind, place)
    held = [value for part in table._table.parts() for value in part.values()]
    assert sum(value.nbytes for value in held) == sizes.table_bytes
    z_QRZ, label_QR = torch.randn(BATCH, 1, WIDTH), torch.ones(BATCH, 1)
    rows = torch.arange(BATCH)

    def step(now: int) -> None:
        taken = table.take(rows + now * BATCH)
        table.prefetch(rows + (now + 1) * BATCH)
        logits = head.of_users(z_QRZ, taken, torch.arange(BATCH))  # type: ignore[operator]
        loss_sum(logits, label_QR, torch.ones_like(label_QR)).backward()
        table.update(rows + now * BATCH, taken, 0.05)

    step(0)
    parameters = list(head.parameters())
    shared = [*parameters, *(value.grad for value in parameters if value.grad is not None)]
    with LiveBytes([*held, *shared, z_QRZ]) as live:
        step(1)
    activations = 20 * z_QRZ.nbytes
    planned = sizes.step_bytes if place == "device" else sizes.ahead_bytes
    assert 0.75 * planned < live.peak <= planned + activations


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_takes_no_more_than_is_planned_for(kind: str) -> None:
    users, rows, queries = 24, 40, 8
    draw = np.random.default_rng(0)
    z = [draw.normal(size=(rows, WIDTH)).astype(np.float32) for _ in range(users)]
    labels = [(x @ draw.normal(size=WIDTH) > 0).astype(np.float32) for x in z]
    padded = pad_users(z, labels, [np.arange(rows) % queries] * users)
    head = make_head(kind, WIDTH, RANK, 0.0)
    with LiveBytes(head.parameters()) as live:
        solve_heads(head, padded, {"l2": 0.01}, FitConfig(epochs=4), "bce")
    planned = users * BatchSizes(users, 1, WIDTH, parameters_per_user(kind, WIDTH, RANK)).user_bytes(rows)
    # The rows themselves were there before, and are planned for.
    assert live.peak + padded.z.nbytes <= planned


@pytest.mark.parametrize("width", [32, 384])
def test_a_text_takes_its_key_and_its_numbers(width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    count = 4096
    keys = np.sort(text_keys(str(i) for i in range(count)))
    file = tmp_path / "fragment.parquet"
    write_fragment(file, keys, np.ones((count, width), np.float16), EmbeddingSpec("e", "mean", 8, "fp32"))
    planned = count * text_bytes(width)
    # Parquet adds its pages' levels and headers.
    assert planned <= file.stat().st_size < 1.01 * planned + 3 * count + 8192


def test_kept_features_take_what_is_planned_for(tmp_path: Path) -> None:
    rows, count = 80, 50
    users = [
        UserFeatures(f"u{i}", np.ones((rows, WIDTH), np.float32), np.ones(rows, np.float32), np.arange(rows), "f" * 16)
        for i in range(count)
    ]
    file = tmp_path / "bucket.arrow"
    save_features(users, WIDTH, file)
    planned = count * feature_bytes(rows, WIDTH)
    assert planned <= file.stat().st_size < 1.02 * planned + 4096


def test_pythons_part_is_measured() -> None:
    assert 60 < index_bytes(2_000) < 400
    assert 500 < example_bytes(200) < 5_000


def test_the_page_gives_the_formulas_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hydra_ray.bench.node_costs.MEASURED", 1_000)
    figures, page = run(), PAGE.read_text(encoding="utf-8")
    for width, kinds in figures["heads"].items():
        for kind, found in kinds.items():
            row = f"| `{kind}` | {width} | " + " | ".join(f"{value:,}" for value in found.values()) + " |"
            assert row in page
    for width, value in figures["text_bytes"].items():
        assert f"{value:,} bytes at {width}" in page
    for width, value in figures["feature_bytes"].items():
        assert f"{value:,} bytes at {width}" in page
