"""What a frozen encoder gives for a text: one embedding (`bi_encoder`), or one per sentence (`concepts`)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from hydra_ray.config import ModelConfig
from hydra_ray.config.pair_kinds import pair_kind
from hydra_ray.core.retrieval import TextEncode

_BOUNDARY = re.compile(r"(?<=[.!?])\s+|\n+")


def sentences_of(text: str, limit: int) -> list[str]:
    """The first `limit` sentences of a text, cut after ., ! and ? and at line ends; at least one."""
    found = [part.strip() for part in _BOUNDARY.split(text) if part.strip()]
    return found[:limit] or [text]


def encoded_pieces(texts: Iterable[str], pair: str, sentences: int) -> Iterator[str]:
    """What a frozen encoder reads of texts for a pair encoder: they themselves, their sentences, or nothing."""
    reads = pair_kind(pair).reads
    if reads == "texts":
        yield from texts
    elif reads == "sentences":
        for text in texts:
            yield from sentences_of(text, sentences)


def sentence_embeddings(encode: TextEncode, texts: Sequence[str], pair: str, sentences: int) -> Tensor:
    """What a pair encoder reads of texts: float32 [T, D] of whole texts (`bi_encoder`), [T, S, D] of sentences
    (`concepts`), zero rows where there is none, or [T, 1] of zeros where it reads no text (`none`)."""
    reads = pair_kind(pair).reads
    if reads == "nothing":
        return torch.zeros(len(texts), 1)
    if reads == "texts":
        return torch.from_numpy(encode(texts))
    split = [sentences_of(text, sentences) for text in texts]
    flat = encode([sentence for parts in split for sentence in parts])
    out = np.zeros((len(texts), max(map(len, split), default=1), flat.shape[1]), dtype=np.float32)
    start = 0
    for i, parts in enumerate(split):
        out[i, : len(parts)] = flat[start : start + len(parts)]
        start += len(parts)
    return torch.from_numpy(out)


class Encode(TextEncode, Protocol):
    """`TextEncode` that knows how wide its embeddings are."""

    @property
    def width(self) -> int:
        """D."""
        ...


def embeddings_shape(texts: Sequence[str], encode: Encode, model: ModelConfig) -> tuple[int, ...]:
    """Of what a model's pair encoder reads of texts: as `sentence_embeddings` gives it for all of them."""
    reads = pair_kind(model.pair).reads
    if reads == "nothing":
        return len(texts), 1
    if reads == "texts":
        return len(texts), encode.width
    return len(texts), max((len(sentences_of(text, model.sentences)) for text in texts), default=1), encode.width


def padded_embeddings(encode: Encode, texts: Sequence[str], model: ModelConfig, shape: tuple[int, ...]) -> Tensor:
    """`sentence_embeddings` of some texts, with zero rows as `shape`, that of more texts, has them."""
    found = sentence_embeddings(encode, texts, model.pair, model.sentences)
    if len(shape) == 3:
        found = torch.nn.functional.pad(found, (0, 0, 0, shape[1] - found.shape[1]))
    return found
