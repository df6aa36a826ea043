"""Small ranking examples and a small encoder for training tests, and training without Ray in plain processes."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from hydra_ray.config import ModelConfig, TrainConfig
from hydra_ray.core.hashing import bucket_of
from hydra_ray.training.joint.ranking_examples import RankingExample, examples_to_table
from hydra_ray.training.joint.train_job import TrainJob
from hydra_ray.training.user_fit.profiles import Profile, profiles_to_table

WORDS = ["red", "green", "blue", "sad", "happy", "fast", "slow", "old"]
FEATURE_WIDTH = 1
USERS = [f"u{i}" for i in range(7)]


def make_encoder(folder: Path, more: Sequence[str] = (), spread: float = 0.02) -> Path:
    """A random BERT of a few thousand weights. more: words that it knows besides WORDS. spread: of the weights (BERT's
    own hardly tells texts apart)."""
    folder.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "text", "thing", *more]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
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
        initializer_range=spread,
    )
    BertModel(shape).save_pretrained(folder)
    return folder


def make_ranking_examples(folder: Path) -> list[RankingExample]:
    """Seven users with four queries each, as Parquet."""
    rng = random.Random(0)
    examples = []
    for user in USERS:
        for q in range(4):
            word = rng.choice(WORDS)
            right = tuple(f"{rng.choice(WORDS)} thing" for _ in range(6))
            label = tuple(float(r.split()[0] == word) for r in right)
            features = tuple((rng.random(),) for _ in right)
            examples.append(RankingExample(user, bucket_of(user, 16), f"q{q}", f"{word} text", right, label, features))
    folder.mkdir()
    pq.write_table(examples_to_table(examples), folder / "part-0.parquet")
    return examples


def make_profiles(folder: Path) -> None:
    """The records of the same users, as a router reads them."""
    rng = random.Random(1)
    profiles = [
        Profile(user, bucket_of(user, 16), ("a", "b", "c"), tuple(f"{rng.choice(WORDS)} thing" for _ in range(3)))
        for user in USERS
    ]
    folder.mkdir()
    pq.write_table(profiles_to_table(profiles), folder / "part-0.parquet")


@dataclass(frozen=True)
class Part:
    """One training of a plan (see `tests.training.ranks`).

    Attributes:
        job: What is trained.
        start: A checkpoint's folder.
        keep: Folder that takes the checkpoints, numbered.
        die_at: After so many checkpoints, training is given up.
        fails: Whether every rank must raise UserError; its words go to SCRATCH/error-RANK.
    """

    job: TrainJob
    start: Path | None = None
    keep: Path | None = None
    die_at: int | None = None
    fails: bool = False


def make_job(folder: Path, model: ModelConfig, train: TrainConfig, kind: str, out: Path) -> TrainJob:
    """A job for `train_kinds`; `folder` holds `ranking_examples`."""
    return TrainJob(
        model,
        train,
        (kind,),
        folder / "ranking_examples",
        "t",
        0,
        symmetric=True,
        feature_width=FEATURE_WIDTH,
        scratch=out,
        profiles=folder / "profiles",
    )
