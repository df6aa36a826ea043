from decimal import Decimal

from hydra_ray.core.tasks import load_task

MOVIE = load_task("lamp_2m")


def test_room_for_the_longest_label() -> None:
    long = MOVIE.model_copy(update={"labels": ("a", "word " * 40)})
    assert MOVIE.rules.answer_tokens(MOVIE) == 24
    assert long.rules.answer_tokens(long) > 80


def test_without_an_llm_the_most_frequent_answer_ties_to_the_last() -> None:
    assert MOVIE.rules.from_history(MOVIE, ["comedy", "action", "comedy", "", "no label"]) == "comedy"
    assert MOVIE.rules.from_history(MOVIE, ["comedy", "action"]) == "action"
    assert MOVIE.rules.from_history(MOVIE, ["no label"]) == ""


def test_answers_in_the_users_data() -> None:
    task = MOVIE.model_copy(update={"labels": ("true", "3", "café", "A", "a")})
    spell = task.rules.speller(task)
    assert spell(True, "True") == "true"
    assert [spell(3.0, "3.0"), spell(Decimal("3.0"), "3.0"), spell(3.5, "3.5"), spell(float("nan"), "nan")] == [
        "3", "3", None, None,
    ]  # fmt: skip
    assert spell("CAFE\u0301 ", "CAFE\u0301 ") == "café"
    assert [spell(text, text) for text in ("A", "a", "TRUE", "other")] == ["A", "a", "true", None]
