"""A user's records put together."""

from dataclasses import replace

from hydra_ray.core.hashing import split_of
from hydra_ray.core.types import HistoryItem
from hydra_ray.data.merge import BOTH_TEST_SHARE, merge_user
from hydra_ray.data.rows import SourceQuestion, SourceRow

OLD, NEW = HistoryItem("a", "old", "old", "5", "2020-01-01"), HistoryItem("b", "new", "new", "4", "2020-02-01")
UNDATED = HistoryItem("c", "when", "when", "3")


def test_items_are_the_union_oldest_first_and_each_question_sees_its_own_record() -> None:
    question = SourceQuestion("q2", "?", "5", "2020-03-01")
    second = SourceRow("u", "train", 0, 1, (NEW, UNDATED, replace(OLD)), (question,))
    first = SourceRow("u", "train", 0, 0, (OLD,), (SourceQuestion("q1", "?", "5", "2020-01-15"),))
    merged = merge_user([second, first], ["f"])
    assert merged.user.items == (UNDATED, OLD, NEW)
    assert [(q.question_id, q.history) for q in merged.user.questions] == [("q1", (1,)), ("q2", (0, 1, 2))]
    assert (merged.repeats, merged.rejects) == (1, [])


def test_an_item_newer_than_the_question_is_not_seen_and_one_of_other_content_set_aside() -> None:
    other = HistoryItem("a", "other", "other", "5", "2020-01-01")
    row = SourceRow("u", "train", 0, 0, (OLD, other, NEW), (SourceQuestion("q", "?", "5", "2020-01-15"),))
    merged = merge_user([row], ["f"])
    assert merged.user.questions[0].history == (0,)
    assert [(r.record, r.reason, r.detail) for r in merged.rejects] == [
        ("0/a", "conflicting_item", "other"),
        ("0:q/b", "newer_item", "of 2020-02-01, the question is of 2020-01-15"),
    ]


def test_a_user_of_both_splits_goes_to_one_and_keeps_all_items() -> None:
    rows = [
        SourceRow("u", split, i, 0, (item,), (SourceQuestion(f"q{i}", "?", "5", "2021"),))
        for i, (split, item) in enumerate([("train", OLD), ("test", NEW)])
    ]
    merged = merge_user(rows, ["train.json", "dev.json"])
    split = split_of("u", BOTH_TEST_SHARE)
    kept, left = ("q0", "dev.json") if split == "train" else ("q1", "train.json")
    assert (merged.user.split, merged.user.items) == (split, (OLD, NEW))
    assert [q.question_id for q in merged.user.questions] == [kept]
    assert [(r.source, r.reason, r.detail) for r in merged.rejects] == [
        (left, "question_of_other_split", f"u is a {split} user")
    ]
