"""Which rows are answered together."""

from hydra_ray.llm.seq2seq.rows import PromptRow, next_batch


def row(length: int, **more: int) -> PromptRow:
    return PromptRow((1,) * length, **{"max_tokens": 4, **more})


def test_the_oldest_goes_with_those_nearest_in_length() -> None:
    waiting = [row(10), row(90), row(11), row(50), row(9), row(10)]
    assert next_batch(waiting, 4) == [4, 0, 5, 2]  # the shortest first
    assert next_batch(waiting, 1) == [0]
    assert next_batch(waiting, 100) == [4, 0, 5, 2, 3, 1]


def test_only_rows_with_the_same_settings_share_a_batch() -> None:
    waiting = [row(5, beams=2), row(5), row(5, max_tokens=3, beams=2), row(6, beams=2)]
    assert next_batch(waiting, 100) == [0, 3]
    assert next_batch(waiting[1:], 100) == [0]


def test_each_beam_takes_a_place() -> None:
    waiting = [row(5, beams=4) for _ in range(5)]
    assert len(next_batch(waiting, 9)) == 2
    assert len(next_batch(waiting, 3)) == 1  # more beams than places: alone


def test_samples_of_several_temperatures_share_a_batch() -> None:
    waiting = [PromptRow((1,), 4, 1, 0.0), PromptRow((1,), 4, 1, 1.0, 3), PromptRow((1,), 4, 1, 0.5, 4)]
    assert next_batch(waiting, 8) == [0, 1, 2]
