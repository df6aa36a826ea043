from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.types import LLMDownError, OverloadedError, RetrievalResult, UserKey

ITEMS = tuple(HistoryItem(name, name, name, answer) for name, answer in (("a", "yes"), ("b", "no"), ("c", "yes")))
FOUND = RetrievalResult(ITEMS, (4.0, 2.0, 0.0), recencies=(1.0, 0.5, 0.25))


def test_stored_ids_come_back_whatever_they_hold() -> None:
    for user in (UserKey("acme", "ann"), UserKey("acme", "a\x1fb"), UserKey("acme", "")):
        assert UserKey.of_stored(user.stored) == user
    assert UserKey("a", "b").stored != UserKey("a b", "").stored


def test_scores_are_shares_of_the_best_and_weigh_the_items_answers() -> None:
    assert FOUND.normalized_scores == (1.0, 0.5, 0.0)
    assert [tuple(supporter) for supporter in FOUND.supporters] == [
        ("yes", 1.0), ("no", 0.5), ("yes", 0.0),
    ]  # fmt: skip


def test_items_are_taken_out_with_all_that_is_known_of_them() -> None:
    left = FOUND.without({"a", "unknown"})
    assert (left.items, left.scores, left.recencies) == (ITEMS[1:], (2.0, 0.0), (0.5, 0.25))


def test_errors_say_when_to_come_back() -> None:
    assert str(OverloadedError(2.5)) == "the service is at its limit; try again later"
    assert OverloadedError(2.5).retry_after_s == 2.5
    assert str(LLMDownError("no connection")) == "the language model does not answer: no connection"
