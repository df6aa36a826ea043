"""Draws of each row's own."""

import pytest
import torch

from hydra_ray.llm.seq2seq.row_sampler import RowSampler, draw
from hydra_ray.llm.seq2seq.rows import PromptRow

NO_IDS = torch.zeros((1, 0), dtype=torch.int64)


def sampled(seed: int, temperature: float = 1.0) -> PromptRow:
    return PromptRow((1,), 4, 1, temperature, seed)


def test_tokens_come_as_often_as_they_are_likely() -> None:
    logits = torch.tensor([2.0, 0.0, -1.0, -torch.inf]).double().expand(20_000, 4)
    numbers = torch.rand((20_000, 1), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = torch.bincount(draw(logits, numbers).flatten(), minlength=4) / 20_000
    assert found.tolist() == pytest.approx(torch.softmax(logits[0], 0).tolist(), abs=0.01)
    assert found[3] == 0


def test_the_ends_of_the_numbers_are_tokens_that_can_be() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]]).double()
    for number, token in ((0.0, 1), (0.499, 1), (0.5, 2), (1 - 2**-53, 2), (1.0, 2)):
        assert draw(logits, torch.tensor([[number]], dtype=torch.float64)).item() == token


def test_top_p_leaves_the_most_likely_tokens() -> None:
    logits = torch.log(torch.tensor([[0.1, 0.5, 0.4]])).double()
    numbers = torch.linspace(0, 0.999, 50, dtype=torch.float64).unsqueeze(1)

    def tokens(top_p: float | None) -> set[int]:
        return set(draw(logits.expand(50, 3), numbers, top_p).flatten().tolist())

    assert tokens(None) == tokens(1.0) == {0, 1, 2}
    assert tokens(0.8) == {1, 2}
    assert tokens(0.3) == {1}


def test_a_row_draws_the_same_whatever_else_is_in_the_batch() -> None:
    scores = torch.randn((5, 40), generator=torch.Generator().manual_seed(1))
    rows = [sampled(7), PromptRow((1,), 4), sampled(8), sampled(7), sampled(9, 0.5)]
    whole, alone = RowSampler(rows), [RowSampler([row]) for row in rows]
    for _ in range(3):
        found = whole(NO_IDS, scores)
        for b, sampler in enumerate(alone):
            assert torch.equal(found[b : b + 1], sampler(NO_IDS, scores[b : b + 1]))
        # A sampled row has one token left, a greedy one all.
        assert (found > -torch.inf).sum(1).tolist() == [1, 40, 1, 1, 1]
        assert torch.equal(found[1], scores[1])


def test_seeds_and_temperatures_matter() -> None:
    scores = torch.randn((1, 40), generator=torch.Generator().manual_seed(1))

    def draws(row: PromptRow) -> list[int]:
        sampler = RowSampler([row])
        return [int(sampler(NO_IDS, scores).argmax()) for _ in range(30)]

    assert draws(sampled(1)) == draws(sampled(1)) != draws(sampled(2))
    assert len(set(draws(sampled(1, 0.01)))) == 1
    assert len(set(draws(sampled(1)))) > 5
