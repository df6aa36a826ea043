import numpy as np
import pytest
import torch

from hydra_ray.models.sentence_embeddings import encoded_pieces, sentence_embeddings, sentences_of


def encode(texts):  # type: ignore[no-untyped-def]
    """One number a text: its length."""
    return np.array([[len(text)] for text in texts], dtype=np.float32)


@pytest.mark.parametrize(
    ("text", "limit", "sentences"),
    [
        ("One. Two!  Three?", 9, ["One.", "Two!", "Three?"]),
        ("a line\nanother. one more", 2, ["a line", "another."]),
        ("version 3.5 of it", 9, ["version 3.5 of it"]),
        ("", 3, [""]),
        (" \n", 3, [" \n"]),
    ],
)
def test_sentences(text: str, limit: int, sentences: list[str]) -> None:
    assert sentences_of(text, limit) == sentences


def test_a_pair_encoder_reads_whole_texts_their_sentences_or_nothing() -> None:
    texts = ["A. Bb.", "C"]
    assert list(encoded_pieces(texts, "bi_encoder", 5)) == texts
    assert list(encoded_pieces(texts, "concepts", 5)) == ["A.", "Bb.", "C"]
    assert list(encoded_pieces(texts, "none", 5)) == []
    assert sentence_embeddings(encode, texts, "bi_encoder", 5).tolist() == [[6.0], [1.0]]
    assert sentence_embeddings(encode, texts, "concepts", 5).tolist() == [[[2.0], [3.0]], [[1.0], [0.0]]]
    assert sentence_embeddings(encode, texts, "concepts", 1).tolist() == [[[2.0]], [[1.0]]]
    assert torch.equal(sentence_embeddings(encode, texts, "none", 5), torch.zeros(2, 1))
