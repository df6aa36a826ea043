"""`hydra-ray bench encode`: rows per second of the frozen encoder, and how fast kept embeddings are read back.

Ours is `encode_texts` at this processor's precision (`hydra_ray.utils.cpu`) on all rows at once: tokenised in one call,
sorted by tokens, cut into batches of at most 1,024 padded tokens. Against it: random batches of 64 rows, each tokenised
and padded to its longest row, fp32. Both in inference mode, tokenising included, with the same threads, in turns.

Rows are (query, item) pairs as a cross encoder reads them. Three mixes of lengths:

- `synthetic`: the synthetic worlds' own texts, whose lengths hardly differ (63 to 75 tokens a pair): nothing to gain by
  sorting.
- `news`, `reviews`: as many words a text as in news teasers and product reviews by the deciles below, the words the
  synthetic worlds' own. Pairs of reviews are mostly cut at `model.max_tokens`.
"""

import random
from argparse import Namespace
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import cycle, islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hydra_ray.bench import embedding_reads
from hydra_ray.bench.timing import interleaved, machine
from hydra_ray.config import ModelConfig
from hydra_ray.models.encoder import TextEncoder, encode_texts
from hydra_ray.synth.world import MAKERS, make_user
from hydra_ray.utils.cpu import fastest_precision

BATCH = 64
ROWS = 512
TEXTS = 100_000
REPEATS = 3
DECILES = {
    "news": (1, 5, 6, 8, 11, 12, 15, 16, 18, 20, 28),
    "reviews": (16, 25, 30, 36, 44, 60, 77, 87, 123, 197, 1385),
}
"""Words per text of HuffPost's news teasers and Amazon's reviews of musical instruments, shortest to longest."""
COSINE = 0.999
"""The least cosine allowed between both sides' vectors of a row."""

Pairs = list[tuple[str, str]]


def run(args: Namespace) -> dict[str, Any]:
    """Measures and returns the figures, rows per second as medians.

    args: `rows` per mix (default 512), `repeats` (default 3), `threads` (default PyTorch's), `mixes` (default all),
    `texts` of the store that is read (default 100,000).
    ratio: ours over padded random fp32 batches in the mix where it gains least. mixes: for each its ratio, both sides'
    rows per second, `sorted_fp32` (ours without bf16), `padding` (the random batches' padded over real tokens), tokens
    per row (5th, 50th and 95th percentile) and `difference`: see `compare`. reads: kept embeddings read, see
    `hydra_ray.bench.embedding_reads.measure`. Raises RuntimeError if the sides disagree.
    """
    if getattr(args, "threads", None):
        torch.set_num_threads(int(args.threads))
    rows, repeats = int(getattr(args, "rows", ROWS)), int(getattr(args, "repeats", REPEATS))
    config, precision = ModelConfig(), fastest_precision()
    exact = TextEncoder(config).eval()
    ours = exact if precision == "fp32" else TextEncoder(config, precision).eval()
    names: Sequence[str] = getattr(args, "mixes", None) or ("synthetic", *DECILES)
    mixes = {name: _measure(exact, ours, make_pairs(name, rows), repeats) for name in names}
    return {
        "ratio": min(figure["ratio"] for figure in mixes.values()),
        "precision": precision,
        "mixes": mixes,
        "reads": embedding_reads.measure(int(getattr(args, "texts", TEXTS))),
        "rows": rows,
        "encoder": config.encoder,
        "max_tokens": config.max_tokens,
        **machine(),
    }


def make_pairs(mix: str, rows: int) -> Pairs:
    """`rows` (query, item) pairs in random order; the same ones every time."""
    draw = random.Random(0)
    pairs = list(islice(_synthetic_pairs(), rows))
    if mix != "synthetic":
        words = cycle(word for pair in pairs for text in pair for word in text.split())
        pairs = [(_text(words, mix, draw), _text(words, mix, draw)) for _ in range(rows)]
    draw.shuffle(pairs)
    return pairs


def _text(words: Iterator[str], mix: str, draw: random.Random) -> str:
    """The next words, as many as a draw from the deciles (uniform between neighbours) says."""
    deciles = DECILES[mix]
    i = draw.randrange(len(deciles) - 1)
    return " ".join(islice(words, round(draw.uniform(deciles[i], deciles[i + 1]))))


def _synthetic_pairs() -> Iterator[tuple[str, str]]:
    """Every item of a user with the user's question; the worlds take turns."""
    user = 0
    while True:
        for task in MAKERS:
            record = make_user(task, 0, user, (10, 10), 1).to_user()
            yield from ((record.questions[0].text, item.text) for item in record.items)
        user += 1


@torch.inference_mode()
def encode_padded(encoder: TextEncoder, pairs: Pairs) -> NDArray[np.float32]:
    """float32 [len(pairs), D]: batches of 64 in the order given, each padded to its longest row."""
    parts = []
    for start in range(0, len(pairs), BATCH):
        left, right = zip(*pairs[start : start + BATCH], strict=True)
        parts.append(encoder(encoder.tokens(left, right)).numpy())
    return np.concatenate(parts)


def encode_sorted(encoder: TextEncoder, pairs: Pairs) -> NDArray[np.float32]:
    """float32 [len(pairs), D], as the package encodes."""
    return encode_texts(encoder, [left for left, _ in pairs], [right for _, right in pairs])


def compare(found: NDArray[np.float32], expected: NDArray[np.float32]) -> dict[str, float]:
    """How far apart two sides' vectors [n, D] of the same rows are.

    largest: difference of an entry. least_cosine: of a row's two vectors. order: over pairs of other rows (every row a
    query), the share that both sides rank alike by cosine. nearest: the share of rows with the same nearest other row.
    Raises RuntimeError if a row's cosine is below COSINE.
    """
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (found.astype(np.float64), expected))
    least = float((a * b).sum(1).min())
    if not least > COSINE:
        raise RuntimeError(f"both sides' vectors differ: a cosine of {least:g}, less than {COSINE}")
    sides = [x @ x.T for x in (a, b)]
    for side in sides:
        np.fill_diagonal(side, -np.inf)
    draw = np.random.default_rng(0)
    query, one, other = draw.integers(0, len(a), (3, 200_000))
    real = (query != one) & (query != other) & (sides[1][query, one] != sides[1][query, other])
    above = [side[query, one] > side[query, other] for side in sides]
    return {
        "largest": float(np.abs(found - expected).max()),
        "least_cosine": least,
        "order": float((above[0] == above[1])[real].mean()),
        "nearest": float((sides[0].argmax(1) == sides[1].argmax(1)).mean()),
    }


def _measure(exact: TextEncoder, ours: TextEncoder, pairs: Pairs, repeats: int) -> dict[str, Any]:
    """One mix's figures."""
    difference = compare(encode_sorted(ours, pairs), encode_padded(exact, pairs))
    ways = {"padded_fp32": partial(encode_padded, exact, pairs), "sorted_fp32": partial(encode_sorted, exact, pairs)}
    if ours is not exact:
        ways["ours"] = partial(encode_sorted, ours, pairs)
    rates = {name: len(pairs) / spent for name, spent in interleaved(ways, repeats).items()}
    rates.setdefault("ours", rates["sorted_fp32"])
    lengths = exact.token_table(*map(list, zip(*pairs, strict=True))).lengths
    padded = sum(part.max() * len(part) for part in np.split(lengths, range(BATCH, len(lengths), BATCH)))
    return {
        "ratio": round(rates["ours"] / rates["padded_fp32"], 2),
        "rows_per_s": {name: round(rate, 1) for name, rate in rates.items()},
        "padding": round(float(padded / lengths.sum()), 3),
        "tokens": [int(x) for x in np.percentile(lengths, (5, 50, 95))],
        "difference": {name: float(f"{value:.6g}") for name, value in difference.items()},
    }
