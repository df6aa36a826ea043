"""What a worker computes on its device is what the CPU computes. No process here imports Ray."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from hydra_ray.config import FitConfig, LLMConfig, ModelConfig
from hydra_ray.config.resources import AskResources
from hydra_ray.llm.seq2seq.generator import Seq2SeqGenerator
from hydra_ray.llm.seq2seq.rows import PromptRow
from hydra_ray.models.encoder import TextEncoder, encode_texts
from hydra_ray.models.heads import Deltas, make_head
from hydra_ray.models.losses import loss_sum
from hydra_ray.models.scorer import PairScorer
from hydra_ray.training.artifacts.trained_scorer import TrainedScorer
from hydra_ray.training.artifacts.user_heads import UnpublishedHeads
from hydra_ray.training.joint.head_plan import Place
from hydra_ray.training.joint.ranking_examples import RankingExample
from hydra_ray.training.joint.user_head_table import UserHeadTable
from hydra_ray.training.user_fit.padded_users import PaddedUsers, pad_users
from hydra_ray.training.user_fit.solver import fit_prior, solve_heads
from hydra_ray.utils.device import CPU, free_memory, halved_once
from tests.models.small_t5 import write_t5
from tests.training.tiny import WORDS, make_encoder

pytestmark = pytest.mark.gpu

ATOL = 1e-4
WIDTH, USERS, STEPS = 12, 6, 8
FITTED = ("linear", "low_rank", "dense", "bayesian_linear")


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Matrices are multiplied in fp32, not in TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


def test_texts_are_encoded_alike(device: torch.device, tmp_path: Path) -> None:
    config = ModelConfig(encoder=str(make_encoder(tmp_path / "encoder", spread=0.2)), max_tokens=32)
    texts = [f"{word} {other} text" for word in WORDS for other in WORDS]
    here = encode_texts(TextEncoder(config).eval(), texts)
    assert np.allclose(encode_texts(TextEncoder(config).eval().to(device), texts), here, atol=ATOL)
    rough = encode_texts(TextEncoder(config, "bf16").eval().to(device), texts)
    cosine = (rough * here).sum(1) / np.linalg.norm(rough, axis=1) / np.linalg.norm(here, axis=1)
    assert cosine.min() > 0.999


def learned(
    kind: str, device: torch.device, place: Place | None, steps: range, table: UserHeadTable | None = None
) -> UserHeadTable:
    """A table after some steps of a fixed training."""
    torch.manual_seed(0)
    head = make_head(kind, WIDTH, 2, 0.0).to(device)
    if table is None:
        table = UserHeadTable(head, {str(user): 0 for user in range(USERS)}, device, place)
    rng = np.random.default_rng(0)
    batches = [np.sort(rng.choice(USERS, 3, replace=False)) for _ in range(STEPS + 1)]
    numbers = [rng.normal(size=(3, 4, WIDTH)) for _ in range(STEPS)]
    for step in steps:
        rows = torch.from_numpy(batches[step])
        taken = table.take(rows)
        table.prefetch(torch.from_numpy(batches[step + 1]))
        z_QRZ = torch.tensor(numbers[step], dtype=torch.float32, device=device)
        logits_QR2 = head.of_users(z_QRZ, taken, torch.arange(3, device=device))
        label_QR = (z_QRZ[..., 0] > 0).float()
        loss_sum(logits_QR2, label_QR, torch.ones_like(label_QR)).backward()
        table.update(rows, taken, 0.05)
    return table


def assert_same(one: UserHeadTable, other: UserHeadTable) -> None:
    here, there = one.state(0), other.state(0)
    assert here.keys() == there.keys()
    for name, value in here.items():
        assert there[name].device == CPU
        assert torch.allclose(there[name], value, atol=ATOL), name


@pytest.mark.parametrize("kind", ["linear", "low_rank", "dense"])
@pytest.mark.parametrize("place", ["device", "host"])
def test_steps_give_the_same_heads(device: torch.device, kind: str, place: Place) -> None:
    assert_same(learned(kind, CPU, None, range(STEPS)), learned(kind, device, place, range(STEPS)))


@pytest.mark.parametrize("place", ["device", "host"])
def test_a_training_goes_on_from_another_devices_checkpoint(device: torch.device, place: Place) -> None:
    begun = learned("linear", CPU, None, range(3))
    table = learned("linear", device, place, range(0))
    table.load_state(0, begun.state(0))
    assert_same(learned("linear", CPU, None, range(STEPS)), learned("linear", device, place, range(3, STEPS), table))


def padded() -> PaddedUsers:
    rng = np.random.default_rng(1)
    z = [rng.normal(size=(24, WIDTH)).astype(np.float32) for _ in range(USERS)]
    labels = [(x @ rng.normal(size=WIDTH) > 0).astype(np.float32) for x in z]
    return pad_users(z, labels, [np.arange(24) // 4] * USERS)


@pytest.mark.parametrize("kind", FITTED)
def test_users_are_fitted_alike(device: torch.device, kind: str) -> None:
    config, rows = FitConfig(epochs=20), padded()

    def fitted(where: torch.device) -> Deltas:
        torch.manual_seed(0)
        head = make_head(kind, WIDTH, 2, 0.0).to(where)
        tuned, _ = fit_prior(head, rows.to(where), config, "bce")
        return solve_heads(head, rows.to(where), tuned, config, "bce").to(CPU).deltas

    here, there = fitted(CPU), fitted(device)
    for name, value in here.items():
        assert torch.allclose(there[name], value, atol=ATOL), name
    assert any(bool(value.any()) for value in here.values())


@pytest.mark.parametrize("pair", ["bi_encoder", "cross_encoder", "none"])
def test_pairs_are_scored_alike(device: torch.device, pair: str, tmp_path: Path) -> None:
    encoder = make_encoder(tmp_path / "encoder", spread=0.2)
    config = ModelConfig(encoder=str(encoder), pair=pair, head="linear", pair_dim=8, max_tokens=32, dropout=0.0)
    inside = TextEncoder(config) if pair == "cross_encoder" else None
    torch.manual_seed(0)
    scorer = PairScorer(config, inside, 32, True, 1).eval()
    shapes = scorer.head.delta_shapes()
    rng = np.random.default_rng(0)
    own = {"a": {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}}
    examples = [
        RankingExample(user, 0, str(i), f"{word} text", ("red thing", "sad thing"), (0.0, 0.0), ((0.1,), (0.2,)))
        for i, (user, word) in enumerate(zip("ab" * 40, WORDS * 10, strict=True))
    ]
    here = TrainedScorer(scorer, UnpublishedHeads(own, shapes)).score(examples)
    there = TrainedScorer(scorer, UnpublishedHeads(own, shapes), device=device, budget=1 << 20).score(examples)
    for one, other in zip(here, there, strict=True):
        assert np.allclose(one, other, atol=ATOL)


def test_a_batch_that_does_not_fit_is_halved(device: torch.device) -> None:
    free = free_memory(device, 1.0)

    def work(items: list[int]) -> list[int]:
        held = torch.empty(int(0.9 * free) * len(items), dtype=torch.uint8, device=device)
        return [len(held)] * len(items)

    assert halved_once(work, [1, 2], device, "") == [int(0.9 * free)] * 2


def test_an_encoder_decoder_answers_alike(device: torch.device, tmp_path: Path) -> None:
    serve = {"engine": "transformers", "source": str(write_t5(tmp_path / "t5"))}
    config = LLMConfig.model_validate({"serve": serve})
    here, there = (Seq2SeqGenerator(config, AskResources(num_gpus=gpus)) for gpus in (0, 1))
    prompts = [here.encode(f"Note: {'the brown ' * i}heron {i} is here.\nTag:") for i in range(8)]
    greedy = [PromptRow(ids, 6) for ids in prompts]
    sampled = [PromptRow(ids, 6, 1, 1.0, seed) for seed, ids in enumerate(prompts)]
    for rows in ([*greedy, *sampled], [PromptRow(ids, 6, 4) for ids in prompts]):
        assert there.answers(rows) == here.answers(rows)
