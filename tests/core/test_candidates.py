"""What an adapter chooses from."""

from hydra_ray.core.candidates import candidates_of
from hydra_ray.core.features import AnswerFrequency
from hydra_ray.core.tasks import load_task

TAGS = load_task("lamp_2m")
OWN = {"romance": AnswerFrequency(1, 1.0, 1.0), "action": AnswerFrequency(4, 1.0, 1.0)}


def test_samples_come_first_as_they_came_then_the_users_own_by_frequency() -> None:
    made = candidates_of(TAGS, ["comedy", None, "Tag: action", "no label", "comedy"], OWN, True)
    assert made.texts == ("comedy", "action", "romance")
    assert made.votes == (2, 1, 0)
    assert made.samples == ("comedy", "action", "comedy")


def test_without_the_users_own() -> None:
    assert candidates_of(TAGS, ["comedy"], OWN, False).texts == ("comedy",)
    assert candidates_of(TAGS, [None], OWN, False).texts == ()
