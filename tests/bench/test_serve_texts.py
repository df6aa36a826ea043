import random

from hydra_ray.bench.serve_texts import CANDIDATES, SENTENCES, WORDS, labels, make_text, user_id


def test_texts_are_sentences_of_words_and_repeat_themselves_with_their_seed() -> None:
    words = ["harbour", "frost", "reeds"]
    text = make_text(random.Random(1), words)
    assert text == make_text(random.Random(1), words) != make_text(random.Random(2), words)
    sentences = text.rstrip(".").split(". ")
    assert [len(sentence.split()) for sentence in sentences] == [WORDS] * SENTENCES
    assert set(text.lower().replace(".", "").split()) <= set(words)


def test_answers_and_ids() -> None:
    assert len(set(labels())) == CANDIDATES
    assert [user_id(7), user_id(1_234_567)] == ["user0000007", "user1234567"]
