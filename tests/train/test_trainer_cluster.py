"""Joint training for real: Ray Train, DeepSpeed, gloo; the result must not depend on the number of workers."""

import random
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertModel, BertTokenizerFast

from hydra_ray.config import Config, ModelConfig, TrainConfig
from hydra_ray.core.sharding import bucket_of
from hydra_ray.train.artifact import FILES, TrainedScorer, UserHeads
from hydra_ray.train.groups import Group, groups_to_table
from hydra_ray.train.trainer import train

WORDS = ["red", "green", "blue", "sad", "happy", "fast", "slow", "old"]


def make_encoder(folder: Path) -> Path:
    """A random BERT of a few thousand weights."""
    folder.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "text", "thing"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    # Dropout draws differently on every rank, so there is none where two runs are compared.
    shape = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    BertModel(shape).save_pretrained(folder)
    return folder


EVIDENCE = 1


def make_groups(folder: Path) -> list[Group]:
    rng = random.Random(0)
    groups = []
    for u in range(7):
        for q in range(4):
            word = rng.choice(WORDS)
            right = tuple(f"{rng.choice(WORDS)} thing" for _ in range(6))
            label = tuple(float(r.split()[0] == word) for r in right)
            beside = tuple((rng.random(),) for _ in right)
            groups.append(Group(f"u{u}", bucket_of(f"u{u}", 16), f"q{q}", f"{word} text", right, label, beside))
    folder.mkdir()
    pq.write_table(groups_to_table(groups), folder / "part-0.parquet")
    return groups


@pytest.fixture(scope="module")
def ray_cluster():  # type: ignore[no-untyped-def]
    import ray

    ray.init(address="local", num_cpus=8, include_dashboard=False, logging_level="warning")
    yield
    ray.shutdown()


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("pair", "freeze", "stage", "kind"), [("bi", True, 1, "linear"), ("cross", False, 2, "low_rank")]
)
def test_one_worker_and_two_that_were_cut_short_give_the_same_model(
    ray_cluster: None, tmp_path: Path, pair: str, freeze: bool, stage: int, kind: str
) -> None:
    encoder = make_encoder(tmp_path / "encoder")
    groups = make_groups(tmp_path / "groups")
    losses = {}
    for workers in (1, 2):
        config = Config(
            model=ModelConfig(encoder=str(encoder), pair=pair, freeze_encoder=freeze, width=16, head=kind, dropout=0.0),  # type: ignore[arg-type]
            train=TrainConfig(epochs=2, batch=24, workers=workers, zero_stage=stage, lr=1e-3, checkpoint_s=0),  # type: ignore[arg-type]
        )
        out, scratch, said = tmp_path / f"out{workers}", tmp_path / f"s{workers}", list[str]()
        run = (tmp_path / "groups", 0, "t", None, True, EVIDENCE, scratch, out, said.append)
        cut = workers == 2 and stage == 1
        if cut:
            half = config.model_copy(update={"train": config.train.model_copy(update={"epochs": 1})})
            train(half, [kind], *run)
            shutil.rmtree(scratch / "parts")
        losses[workers] = train(config, [kind, "shared"], *run)
        assert any("continuing after epoch 1" in line for line in said) == cut
    assert losses[1] == pytest.approx(losses[2], rel=1e-4)
    one, two = (UserHeads.load(tmp_path / f"out{w}" / kind) for w in (1, 2))
    assert one.row_of == two.row_of
    assert set(one.row_of) == {g.user_id for g in groups}
    for name in one.deltas:
        assert torch.allclose(one.deltas[name], two.deltas[name], atol=2e-3), name
    for file in FILES:
        assert (tmp_path / "out1" / kind / file).exists()
    base = load_file(tmp_path / "out1" / kind / "base.safetensors")
    assert any(name.startswith("encoder.") for name in base) == (not freeze)
    scorers = [TrainedScorer.load(tmp_path / f"out{w}" / kind, tmp_path / f"out{w}" / kind) for w in (1, 2)]
    for a, b in zip(*(s.score(groups[:3]) for s in scorers), strict=True):
        assert a == pytest.approx(b, abs=5e-2)
