"""The model that chooses a retriever per question, and the texts that it reads."""

import pytest
import torch

from hydra_ray.config import ModelConfig
from hydra_ray.models.encoder import load_tokenizer
from hydra_ray.models.retriever_selector import RetrieverSelector, chosen, selector_tokens

POOL = ("none", "bm25", "dense")
TOKENIZER = load_tokenizer(ModelConfig())
LONG = "old news " * 40 + "which tag fits the rain today"


def read(prompt: str, answer: str | None = None, max_tokens: int = 16) -> str:
    """What the selector sees of a text."""
    table = selector_tokens(TOKENIZER, max_tokens, [prompt], None if answer is None else [answer])
    assert table.lengths[0] <= max_tokens
    return str(TOKENIZER.decode(table.columns["input_ids"].tolist()))


def test_a_long_prompt_loses_its_beginning_and_keeps_its_question() -> None:
    assert read(LONG).removesuffix(" [SEP]").endswith("which tag fits the rain today")
    assert read("short one") == "[CLS] short one [SEP]"


def test_the_prompt_is_cut_never_the_answer() -> None:
    assert "the rain today [SEP] weather report [SEP]" in read(LONG, "weather report", 12)
    assert read("short one", "weather") == "[CLS] short one [SEP] weather [SEP]"
    assert read("short one", "") == "[CLS] short one [SEP]"
    assert "one two three" in read(LONG, "one two three four five six seven eight nine ten", 8)


def test_the_tokenizer_is_left_as_it_was() -> None:
    selector_tokens(TOKENIZER, 8, [LONG])
    assert TOKENIZER.truncation_side == "right"


def test_scores_stand_by_question_and_retriever() -> None:
    model = RetrieverSelector(POOL, 2)
    with torch.no_grad():
        model.output.weight.copy_(torch.tensor([[1.0, -1.0]]))
    texts = torch.tensor([[1.0, 0], [0, 1], [3, 0], [0, 0], [2, 1], [1, 1]])
    scores = model(texts)
    assert scores.tolist() == [[1, -1, 3], [0, 1, 0]]
    assert chosen(scores).tolist() == [2, 1]
    assert chosen(scores, torch.tensor([[True, True, False], [True, False, True]])).tolist() == [0, 0]


def test_weights_keep_the_order_of_their_pool() -> None:
    weights = RetrieverSelector(POOL, 2).state_dict()
    RetrieverSelector(POOL, 2).load_state_dict(weights)
    with pytest.raises(ValueError, match="trained for none, bm25, dense, not bm25, none, dense"):
        RetrieverSelector(("bm25", "none", "dense"), 2).load_state_dict(weights)
    with pytest.raises(ValueError, match="two retrievers or more, each once: bm25, bm25"):
        RetrieverSelector(("bm25", "bm25"), 2)


def test_it_starts_as_the_choice_of_the_retriever_that_serves_most_questions() -> None:
    model = RetrieverSelector(POOL, 2)
    nan = float("nan")
    model.start_from(torch.tensor([[0, 1.0, 0], [0, 1, 0], [1, 0, 0], [1, 0, nan], [1, 0, nan]]), 0.1, 0.5)
    found = model(torch.zeros(3, 2))[0]
    # Of the whole lists two thirds go to bm25 and one third to none; shares of the teacher are next to 0 and 1.
    assert torch.softmax(found / 0.5, -1).tolist() == pytest.approx([1 / 3, 2 / 3, 0], abs=1e-3)
    assert chosen(found[None]).tolist() == [1]


def test_a_sharp_teacher_leaves_a_number_for_whom_it_never_chooses() -> None:
    model = RetrieverSelector(POOL, 2)
    model.start_from(torch.tensor([[0, 1.0, 0], [0, 1, 0], [1, 0, 0]]), 0.005, 0.5)
    found = model(torch.zeros(3, 2))
    assert torch.isfinite(found).all()
    assert chosen(found).tolist() == [1]


def test_half_a_character_is_read_as_a_question_mark() -> None:
    assert read("one \ud83d", "\ud83d") == "[CLS] one? [SEP]? [SEP]"
