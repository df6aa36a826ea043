"""Tokenised texts become the batches that the tokenizer itself would pad."""

import numpy as np
import torch

from hydra_ray.config import ModelConfig
from hydra_ray.models.encoder import load_tokenizer, tokenize
from hydra_ray.models.token_table import TokenTable


def test_some_texts_of_a_table_padded() -> None:
    table = TokenTable.from_lists({"input_ids": [[5, 6, 7], [8], [9, 10]], "attention_mask": [[1, 1, 1], [1], [1, 1]]})
    assert len(table) == 3
    assert table.lengths.tolist() == [3, 1, 2]
    batch = table.padded([2, 1], {"input_ids": 4})
    assert {name: value.tolist() for name, value in batch.items()} == {
        "input_ids": [[9, 10], [8, 4]],
        "attention_mask": [[1, 1], [1, 0]],
    }
    assert {value.dtype for value in batch.values()} == {torch.int64}
    assert {values.dtype for values in table.columns.values()} == {np.dtype(np.int32)}


def test_a_batch_is_what_the_tokenizer_pads() -> None:
    tokenizer = load_tokenizer(ModelConfig())
    texts, others = ["a dog barks", "", "rain " * 40, "cats"], ["loudly", "at night", "", "sleep"]
    for pairs in (None, others):
        expected = tokenizer(texts, pairs, truncation=True, max_length=32, padding=True, return_tensors="pt")
        table = tokenize(tokenizer, 32, texts, pairs)
        found = table.padded(range(4), {"input_ids": tokenizer.pad_token_id})
        assert found.keys() == dict(expected).keys()
        assert all(torch.equal(found[name], expected[name]) for name in found)
