"""The network's batches and its loss, on a few tokens."""

from typing import Any

import pytest
import torch

from hydra_ray.synth.world import MAKERS
from hydra_ray.tiny_llm.model import Batch, Hints, loss_of, new_llama
from hydra_ray.tiny_llm.sequence import IGNORE, Document, Hint, Tokens
from tests.tiny_llm.small import SMALL

PAD = 3
ASPECTS, VALUES = MAKERS["tagging"]().aspects, MAKERS["tagging"]().values
HINT = Hint(tuple(range(ASPECTS)), 1)
DOCUMENTS = [
    Document("p", " a", "Tag", (HINT,), "synthetic_tagging"),
    Document("q", " b", "Tag"),
]
TOKENS = [
    Tokens([1, 5, 6], [5, 6, 2], [False, True, True], asks=[0], tells=[2]),
    Tokens([1, 7], [7, 2], [False, True], asks=[0], tells=[1]),
]


class Vocabulary:
    """What a Llama needs to know of a tokenizer."""

    bos_token_id, eos_token_id, pad_token_id = 1, 2, PAD

    def __len__(self) -> int:
        return 64


@pytest.fixture(scope="module")
def llama() -> Any:
    torch.manual_seed(0)
    return new_llama(SMALL.shape, Vocabulary())


def test_documents_are_padded_on_the_right_and_padding_is_no_target() -> None:
    batch = Batch(DOCUMENTS, TOKENS, PAD)
    assert batch.ids.shape == batch.targets.shape == (2, 16)
    assert batch.ids[:, :4].tolist() == [[1, 5, 6, PAD], [1, 7, PAD, PAD]]
    assert batch.targets[:, :4].tolist() == [[5, 6, 2, IGNORE], [7, 2, IGNORE, IGNORE]]
    assert batch.is_answer.sum(1).tolist() == [2, 1]


def test_hints_are_of_the_documents_that_carry_some() -> None:
    (known,) = Batch(DOCUMENTS, TOKENS, PAD).known.values()
    assert (known.asks.tolist(), known.tells.tolist()) == ([[0, 0]], [[0, 2]])
    assert known.values.tolist() == [list(range(ASPECTS))]
    assert known.decided.tolist() == [VALUES + 1]  # aspect 1, whose value is 1
    assert len(known.later) == 0


def test_the_loss_is_its_parts_with_their_weights(llama: Any) -> None:
    batch = Batch(DOCUMENTS, TOKENS, PAD)
    torch.manual_seed(0)
    hints, draws = Hints(SMALL.shape), torch.Generator().manual_seed(0)
    plain = SMALL.model_copy(update={"text_weight": 0.0})
    loss, parts = loss_of(llama, hints, batch, plain, 0.0, draws)
    assert parts == {"answers": pytest.approx(float(loss.detach()))}
    texts = SMALL.model_copy(update={"text_weight": 0.5, "text_share": 1.0})
    loss, parts = loss_of(llama, hints, batch, texts, 0.0, draws)
    assert float(loss.detach()) == pytest.approx(parts["answers"] + 0.5 * parts["text"], rel=1e-5)
    loss, parts = loss_of(llama, hints, batch, plain, 3.0, draws)
    assert set(parts) == {"answers", "read", "told", "wanted"}
    assert float(loss.detach()) == pytest.approx(sum(parts.values()), rel=1e-5)
