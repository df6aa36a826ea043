"""Samples in a batch: each row draws with a generator of its own, so that its answer depends on no other row.

Shapes: B rows, V tokens of the vocabulary, S rows that are sampled.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import LogitsProcessor

from hydra_ray.llm.seq2seq.rows import PromptRow


class RowSampler(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped
    """For greedy decoding: of a sampled row, the token that is drawn is left alone; a greedy row stays as it is.

    The draw is the inverse of the cumulated probabilities at a number in [0, 1) that the row's generator gives.
    """

    def __init__(self, rows: Sequence[PromptRow], top_p: float | None = None) -> None:
        """top_p: the most likely tokens are drawn from whose probabilities reach it; None: all."""
        self._sampled = [b for b, row in enumerate(rows) if row.temperature > 0]
        self._temperatures = [rows[b].temperature for b in self._sampled]
        # On the CPU whatever the device: a seed gives the same numbers everywhere.
        self._generators = [torch.Generator().manual_seed(rows[b].seed) for b in self._sampled]
        self._top_p = top_p

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """scores: logits of the next token, float [B, V]."""
        if not self._sampled:
            return scores
        device = scores.device
        numbers = [torch.rand(1, generator=generator, dtype=torch.float64) for generator in self._generators]
        uniform_S1 = torch.stack(numbers).to(device)
        temperature_S1 = torch.tensor(self._temperatures, dtype=torch.float64, device=device).unsqueeze(1)
        sampled_S = torch.tensor(self._sampled, device=device)
        token_S1 = draw(scores[sampled_S].double() / temperature_S1, uniform_S1, self._top_p)
        drawn = torch.full_like(scores[sampled_S], -torch.inf).scatter(1, token_S1, 0.0)
        return scores.index_copy(0, sampled_S, drawn)


def draw(logits_SV: Tensor, uniform_S1: Tensor, top_p: float | None = None) -> Tensor:
    """One token of each row, int64 [S, 1].

    Args:
        logits_SV: Divided by the temperature, float64.
        uniform_S1: Where each row draws, float64 in [0, 1).
        top_p: See `RowSampler`.
    """
    p_SV, order_SV = torch.softmax(logits_SV, 1), None
    if top_p is not None and top_p < 1:
        p_SV, order_SV = p_SV.sort(dim=1, descending=True, stable=True)
        before_SV = p_SV.cumsum(1) - p_SV
        p_SV = p_SV.masked_fill(before_SV >= top_p, 0.0)
    sums_SV = p_SV.cumsum(1)
    whole_S1 = sums_SV[:, -1:].contiguous()
    at_S1 = torch.minimum(uniform_S1 * whole_S1, torch.nextafter(whole_S1, torch.zeros_like(whole_S1)))
    # The first place whose sum is above the number: never one of probability zero.
    place_S1 = torch.searchsorted(sums_SV, at_S1, right=True)
    return place_S1 if order_SV is None else order_SV.gather(1, place_S1)
