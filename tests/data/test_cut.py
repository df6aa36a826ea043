"""Users with less history, and with questions from after a date."""

from hydra_ray.core.types import HistoryItem, Question, User
from hydra_ray.data.cut import cut_user


def items(*dates: str) -> tuple[HistoryItem, ...]:
    return tuple(HistoryItem(f"i{n}", f"text {n}", f"text {n}", "x", date) for n, date in enumerate(dates))


DAYS = items("2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01", "2020-05-01", "2020-06-01")
CHAIN = User(
    "u",
    "test",
    DAYS,
    (Question("a", "?", "x", (0, 1, 2, 3), "2020-05-01"), Question("b", "?", "x", (0, 1, 2, 3, 4, 5), "2020-07-01")),
)


def seen(user: User) -> list[list[str]]:
    return [[item.item_id for item in user.history_of(question)] for question in user.questions]


def test_nothing_is_cut_unless_it_is_asked_for() -> None:
    assert cut_user(CHAIN, None, None).user == CHAIN


def test_the_newest_items_that_all_questions_see_are_kept_and_what_came_in_between() -> None:
    cut = cut_user(CHAIN, 2, None)
    assert seen(cut.user) == [["i2", "i3"], ["i2", "i3", "i4", "i5"]]
    assert [item.item_id for item in cut.user.safe_history()] == ["i2", "i3"]
    assert [(reject.record, reject.reason) for reject in cut.rejects] == [("u/i0", "old_item"), ("u/i1", "old_item")]


def test_with_more_than_there_is_nothing_changes() -> None:
    assert cut_user(CHAIN, 6, None).user.items == CHAIN.items
    assert cut_user(CHAIN, 100, None).user == CHAIN


def test_where_questions_share_little_each_sees_its_own_newest() -> None:
    apart = User("u", "test", DAYS, (Question("a", "?", "x", (0, 1, 2)), Question("b", "?", "x", (2, 3, 4, 5))))
    assert seen(cut_user(apart, 2, None).user) == [["i1", "i2"], ["i4", "i5"]]


def test_a_user_without_questions_keeps_the_newest_items() -> None:
    alone = User("u", "train", DAYS)
    assert [item.item_id for item in cut_user(alone, 2, None).user.items] == ["i4", "i5"]
    assert cut_user(alone, 9, None).user == alone
    assert cut_user(User("u", "test", (), (Question("a", "?", "x", ()),)), 2, None).user.items == ()


def test_questions_from_after_a_date_see_what_was_over_before_it() -> None:
    cut = cut_user(CHAIN, None, "2020-05-01")
    assert seen(cut.user) == [["i0", "i1", "i2", "i3"]] * 2
    later = cut_user(CHAIN, None, "2020-06-01")
    assert [question.question_id for question in later.user.questions] == ["b"]
    assert seen(later.user) == [["i0", "i1", "i2", "i3", "i4"]]
    assert {(reject.record, reject.reason) for reject in later.rejects} == {
        ("u/a", "early_question"),
        ("u/i5", "late_item"),
    }


def test_what_has_no_date_or_only_a_year_is_not_known_to_be_after_or_before() -> None:
    user = User(
        "u",
        "test",
        items("", "2019", "2020", "2020-01-05"),
        (Question("a", "?", "x", (0, 1, 2, 3), ""), Question("b", "?", "x", (0, 1, 2, 3), "2020"),
         Question("c", "?", "x", (0, 1, 2, 3), "2020-06-01T08:00")),
    )  # fmt: skip
    assert [q.question_id for q in cut_user(user, None, "2020-01-01").user.questions] == ["b", "c"]
    cut = cut_user(user, None, "2020-06-01")
    assert [question.question_id for question in cut.user.questions] == ["c"]
    assert seen(cut.user) == [["i1", "i3"]]


def test_both_together_count_what_was_before_the_date() -> None:
    assert seen(cut_user(CHAIN, 2, "2020-05-01").user) == [["i2", "i3"]] * 2


def test_why_no_question_is_left() -> None:
    assert cut_user(CHAIN, None, "2021").no_questions == "before_date"
    few = cut_user(CHAIN, None, "2020-02-15", min_items=3)
    assert (few.no_questions, few.user.questions) == ("too_few_older", ())
    assert [item.item_id for item in few.user.items] == ["i0", "i1"]
