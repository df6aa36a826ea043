"""What LLMs write around a rating: the number, or none."""

import pytest

from hydra_ray.core.answers.parse import parse_answer
from hydra_ray.core.tasks import load_task

RATING, HEADLINE = load_task("lamp_3"), load_task("lamp_4")


@pytest.mark.parametrize(
    ("raw", "rating"),
    [
        ("I would give this 4 stars", "4"),
        ("I would give it four stars.", "4"),
        ('{"score": 4}', "4"),
        ('{"reason": "2 screws were missing", "score": "4"}', "4"),
        ('```json\n{"rating": 4}\n```', "4"),
        ("Rating: 4/5", "4"),
        ("**Score:** 4", "4"),
        ("Score: 4. The 2 screws were missing.", "4"),
        ("The score is four.", "4"),
        ("4 stars out of 5", "4"),
        ("4/5 (80%)", "4"),
        ("On a scale of 1 to 5, I would give this a 4.", "4"),
        ("4\n\nI have used it for 2 years.", "4"),
        ("4\n\nReview: broke at once\nScore: 1", "4"),
        ("It could be 3 or 4.\nFinal answer: 4", "4"),
        ("★★★★☆", "4"),
        ("⭐⭐⭐⭐", "4"),
        ("⭐️⭐️⭐️⭐️", "4"),
        ("**4**/5", "4"),
        ("**4** out of 5", "4"),
        ("4 / **5**", "4"),
        ("**4 stars** out of 5", "4"),
        ("4 (out of 5)", "4"),
        ("Rating: 4 (out of 5 stars).", "4"),
        ("4 ⭐", "4"),
        ("4★", "4"),
        ("4 ⭐️/5", "4"),
        ("**4** ⭐", "4"),
        ("4 stars ⭐", "4"),
        ("4 ⭐⭐⭐⭐", "4"),
        ("1 ⭐", "1"),
        ("**5**/5", "5"),
        ("**4**/10", ""),
        ("4 (out of 10)", ""),
        ("4 or 5", ""),
        ("4 ⭐ or 5 ⭐", ""),
        ("★★ 4", ""),
        ("4 ★★", ""),
        ("4 ★☆", ""),
        ("４", "4"),
        ("<think>3? 5?</think>4", "4"),
        ("\\boxed{4}", "4"),
        ("between 3 and 4", ""),
        ("3 or 4", ""),
        ("3 to 4 stars", ""),
        ("not 4", ""),
        ("more than 3", ""),
        ("at least 4 stars", ""),
        ("80%", ""),
        ("4/10", ""),
        ("★★★★☆☆", ""),
        ("\u22124", ""),
        ("One thing is sure: it is great", ""),
        ("I bought 2 of them and I would buy 4", ""),
        ("I'm sorry, I cannot rate this", ""),
        ("<think>4 stars", ""),
        ('{"score": null}', ""),
        ("1 to 5", ""),
    ],
)
def test_ratings_of_every_wording(raw: str, rating: str) -> None:
    assert parse_answer(RATING, raw) == rating


def test_a_scale_of_large_numbers() -> None:
    task = RATING.model_copy(update={"labels": ("1000000", "1000002")})
    assert parse_answer(task, "On a scale of 1000000 to 1000002: 1000002") == "1000002"
    assert parse_answer(task, "1000001") == "1000001"
