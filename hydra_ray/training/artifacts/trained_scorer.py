"""What training leaves behind: base and shared head as safetensors and JSON, user heads in a head store.

model.json          the model's config, its encoder's width, its features per row, the weights' fingerprint
base.safetensors    interaction and shared head, and the encoder unless it was frozen
heads/              the training users' heads, for kinds that have user parameters
(`hydra_ray.training.artifacts.user_heads`)
"""

import hashlib
import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hydra_ray.config import ModelConfig
from hydra_ray.core.retrieval import TextEncode
from hydra_ray.errors import UserError
from hydra_ray.models.encoder import TextEncoder
from hydra_ray.models.heads import Deltas, scores
from hydra_ray.models.mixture import MIXTURE, PRESENT, PROFILE, mixtures
from hydra_ray.models.scorer import PairScorer
from hydra_ray.models.sentence_embeddings import encoded_pieces, sentence_embeddings
from hydra_ray.models.text_embeddings import BatchEncode, text_embeddings
from hydra_ray.training.artifacts.user_heads import UserHeads
from hydra_ray.training.joint.ranking_examples import RankingExample, TextIndex
from hydra_ray.training.user_fit.profiles import Profile, Profiles
from hydra_ray.utils.device import CPU, halved_once

MODEL, BASE = "model.json", "base.safetensors"
MIN_QUERIES = 64
"""Queries scored together on a CPU; on another device at least."""
DEFAULT_WIDTH = 1024
"""Numbers of a text's embedding, where another process has made it: as many as base-size encoders have, and more."""
SMALLER = "use an encoder or head with fewer numbers, or give these workers a larger share of their device"
MIXED_AT_ONCE = 256
"""Users whose items a router reads at once: 50 MB at 128 items and 384 numbers each."""


class _Description(BaseModel):
    """model.json."""

    model: ModelConfig
    encoder_width: int
    symmetric: bool
    feature_width: int
    fingerprint: str


def save_base(
    scorer_state: Mapping[str, Tensor],
    config: ModelConfig,
    encoder_width: int,
    feature_width: int,
    out: Path,
    symmetric: bool = True,
) -> None:
    """Writes model.json and base.safetensors. symmetric: as the scorer was made."""
    state = {
        name: value.detach().to("cpu", torch.float32).contiguous()
        for name, value in scorer_state.items()
        if not (config.freeze_encoder and name.startswith("encoder."))
    }
    out.mkdir(parents=True, exist_ok=True)
    save_file(state, out / BASE)
    description = _Description(
        model=config,
        encoder_width=encoder_width,
        symmetric=symmetric,
        feature_width=feature_width,
        fingerprint=hashlib.blake2b((out / BASE).read_bytes(), digest_size=8).hexdigest(),
    )
    (out / MODEL).write_text(description.model_dump_json(indent=2))


def save_as_kind(base: Path, kind: str, out: Path) -> None:
    """Writes a base again, with a head of a kind whose shared part has the same weights. Raises UserError as
    `load_scorer`."""
    found = _described(base)
    if not (base / BASE).exists():
        raise _missing(base, BASE)
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(base / BASE, out / BASE)
    model = found.model.model_copy(update={"head": kind})
    (out / MODEL).write_text(found.model_copy(update={"model": model}).model_dump_json(indent=2))


def load_scorer(folder: Path, kind: str | None = None, encoder_source: str | None = None) -> PairScorer:
    """The trained base in eval mode, its encoder inside where needed. Raises UserError if a file is missing or broken.

    kind: of the users' heads, where they are fitted otherwise than they were trained (`bayesian_linear`, trained as
    `linear`).
    encoder_source: where the encoder lies now, if it was moved.
    """
    found = _described(folder)
    if encoder_source is not None:
        found.model = found.model.model_copy(update={"encoder": encoder_source})
    if not (folder / BASE).exists():
        raise _missing(folder, BASE)
    encoder = TextEncoder(found.model) if found.model.encoder_in_scorer else None
    scorer = PairScorer(found.model, encoder, found.encoder_width, found.symmetric, found.feature_width)
    try:
        missing, unexpected = scorer.load_state_dict(load_file(folder / BASE), strict=False)
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(
            f"{folder / BASE}: cannot be read, or belongs to another {MODEL} ({reason}); train it again"
        ) from None
    wrong = [*unexpected, *[name for name in missing if not name.startswith("encoder.")]]
    if wrong:
        raise UserError(f"{folder}: {BASE} does not fit its {MODEL} (first: {wrong[0]}); train it again")
    scorer.head.kind = kind or scorer.head.kind
    return scorer.eval()


def fingerprint(folder: Path) -> str:
    """Of the base's weights in `folder`: what heads fitted on them belong to. Raises UserError as `load_scorer`."""
    return _described(folder).fingerprint


def base_feature_width(folder: Path) -> int:
    """How many features per row the base in `folder` reads besides the texts. Raises UserError as
    `load_scorer`."""
    return _described(folder).feature_width


def _described(folder: Path) -> _Description:
    try:
        return _Description.model_validate_json((folder / MODEL).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(folder, MODEL) from None
    except OSError as error:
        raise UserError(f"{folder / MODEL}: {error.strerror}; make it readable, or train it again") from None
    except ValidationError as error:
        first = ".".join(str(part) for part in error.errors()[0]["loc"]) or error.errors()[0]["msg"]
        raise UserError(f"{folder / MODEL}: broken, or made by another hydra_ray ({first}); train it again") from None


def _missing(folder: Path, name: str) -> UserError:
    return UserError(f"{folder}: {name} is missing; the step that writes it has not finished, run it again")


class HeadProvider(Protocol):
    """Deltas by user id: [n, ...], zeros (the shared head) for users without a head of their own."""

    def of(self, user_ids: Sequence[str]) -> Deltas: ...


class TrainedScorer:
    """A trained reranker or adapter that scores ranking examples; a user without a head gets the shared head."""

    def __init__(
        self,
        scorer: PairScorer,
        heads: HeadProvider | None = None,
        embedding_store: Path | None = None,
        encode: TextEncode | None = None,
        device: torch.device = CPU,
        budget: int | None = None,
    ) -> None:
        """Moves the scorer to its device.

        Args:
            scorer: Base and shared head.
            heads: Users' heads; None: the shared head for everybody.
            embedding_store: Where a frozen encoder's embeddings are kept.
            encode: The frozen encoder. None: one whose embeddings are kept in `embedding_store`, or in memory.
            device: Where pairs are scored, and texts encoded that are not kept.
            budget: Bytes that a batch may take there; None: batches of MIN_QUERIES queries.
        """
        self.scorer = scorer.to(device)
        self.device, self._budget = device, budget
        self.heads = heads
        self._embedding_store = embedding_store
        inside = scorer.config.encoder_in_scorer
        self._encode = None if inside else encode or text_embeddings(scorer.config, embedding_store, device)

    @classmethod
    def load(
        cls,
        base: Path,
        heads: Path | None = None,
        embedding_store: Path | None = None,
        device: torch.device = CPU,
        budget: int | None = None,
        encoder: str | None = None,
    ) -> "TrainedScorer":
        """The scorer in `base` with the user heads in `heads` (None: shared head for all users). encoder: where the
        encoder lies now, if it was moved. The rest: as made."""
        scorer = load_scorer(base, encoder_source=encoder)
        own = UserHeads.open(heads, fingerprint(base)) if heads else None
        if heads and own is None and scorer.head.delta_shapes():
            raise UserError(f"{heads}: the users' heads are missing; remove the folder, and the step makes them again")
        return cls(scorer, own, embedding_store, device=device, budget=budget)

    def prefetch(self, texts: Iterable[str], encode_missing: bool = False) -> None:
        """Makes a batch's texts ready for the scoring that follows; see `BatchEncode`."""
        if isinstance(self._encode, BatchEncode):
            config = self.scorer.config
            self._encode.prefetch(list(encoded_pieces(texts, config.pair, config.sentences)), encode_missing)

    def table(self, texts: Sequence[str]) -> Sequence[str] | Tensor:
        """What the scorer reads for `texts`: the texts, or their embeddings where the encoder is frozen."""
        config = self.scorer.config
        return (
            texts if self._encode is None else sentence_embeddings(self._encode, texts, config.pair, config.sentences)
        )

    def pair_embeddings(self, examples: Sequence[RankingExample]) -> list[NDArray[np.float32]]:
        """The base's pair embeddings per example, float32 [candidates of the example, Z]."""
        return [
            z[: len(example.candidates)]
            for z, example in zip(self._run(examples, pair_embeddings=True), examples, strict=True)
        ]

    def score(self, examples: Sequence[RankingExample]) -> list[NDArray[np.float32]]:
        """The log-odds of every candidate of every example, float32 [candidates of the example]."""
        return [
            s[: len(example.candidates)]
            for s, example in zip(self._run(examples, pair_embeddings=False), examples, strict=True)
        ]

    @torch.inference_mode()
    def mix(self, profiles: Sequence[Profile]) -> NDArray[np.float32]:
        """For `mixture`: what is kept of each user, float32 [U, F] (see `hydra_ray.models.mixture.MIXTURE`)."""
        router, config = self.scorer.router, self.scorer.config
        assert router is not None
        # Where the encoder is trained, the router still reads what it was before.
        encode = self._encode or text_embeddings(config, self._embedding_store, self.device)
        if isinstance(encode, BatchEncode):
            encode.prefetch([text for profile in profiles for text in profile.texts], encode_missing=True)
        parts = []
        for start in range(0, len(profiles), MIXED_AT_ONCE):
            read = Profiles(profiles[start : start + MIXED_AT_ONCE], encode).of_users(self.device)
            parts.append(mixtures(router(read[PROFILE], read[PRESENT])[0])[MIXTURE].cpu().numpy())
        found: NDArray[np.float32] = np.concatenate(parts)
        return found

    @torch.inference_mode()
    def _run(self, examples: Sequence[RankingExample], pair_embeddings: bool) -> list[NDArray[np.float32]]:
        out: list[NDArray[np.float32]] = []
        size = self._at_once(max((len(example.candidates) for example in examples), default=0))
        for start in range(0, len(examples), size):
            out += halved_once(
                partial(self._scored, pair_embeddings), examples[start : start + size], self.device, SMALLER
            )
        return out

    def _at_once(self, rows: int) -> int:
        """How many queries are scored together. rows: of the query with most."""
        if self._budget is None:
            return MIN_QUERIES
        return queries_per_batch(self._budget, self.scorer, max(1, rows))

    def _scored(self, pair_embeddings: bool, examples: Sequence[RankingExample]) -> list[NDArray[np.float32]]:
        if not any(example.candidates for example in examples):
            return [np.zeros((0,), np.float32) for _ in examples]
        blank = ((0.0,) * self.scorer.feature_width,) if self.scorer.feature_width else ()
        padded = [
            example
            if example.candidates
            else RankingExample(
                example.user_id, example.bucket, example.query_id, example.query, (example.query,), (0.0,), blank
            )
            for example in examples
        ]
        index = TextIndex(padded)
        batch = index.batch(padded, range(len(padded))).to(self.device)
        table = self.table(index.texts)
        z_QRZ = self.scorer.encode_pairs(table.to(self.device) if isinstance(table, Tensor) else table, batch)
        if pair_embeddings:
            return list(z_QRZ.cpu().numpy())
        found = self.heads.of([example.user_id for example in padded]) if self.heads else {}
        deltas = {name: value.to(self.device) for name, value in found.items()}
        return list(scores(self.scorer.head(z_QRZ, deltas)).cpu().numpy())


def queries_per_batch(budget: int, scorer: PairScorer, rows: int) -> int:
    """How many queries with so many rows each fit into `budget` bytes with their users' heads, MIN_QUERIES at least.

    Counted per query: head and copy of it, eight arrays as large as its pair embeddings, its texts' embeddings or,
    where the encoder reads pairs, a layer's activations, of which feed-forward layers hold some twelve per token.
    """
    config = scorer.config
    own = sum(math.prod(shape) for shape in scorer.head.delta_shapes().values())
    width = scorer.encoder.width if scorer.encoder is not None else DEFAULT_WIDTH
    per_text = 12 * config.max_tokens * width if scorer.encoder is not None else config.sentences * width
    floats = 2 * own + 8 * rows * scorer.head.width + 2 * (rows + 1) * per_text
    return max(MIN_QUERIES, budget // (4 * floats))
