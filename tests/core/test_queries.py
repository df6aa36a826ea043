from hydra_ray.core.labeling import agreement_rows, own_answer_rows
from hydra_ray.core.queries import history_queries, pseudo_queries, training_queries, unseen_items
from hydra_ray.core.tasks import load_task
from hydra_ray.core.types import HistoryItem, Question, User

ITEMS = tuple(HistoryItem(str(i), f"text {i}", f"text {i}", f"{i % 3}", f"2020-01-0{i + 1}") for i in range(6))


def user(split="test"):  # type: ignore[no-untyped-def]
    early = Question("q1", "early", "1", (0, 1, 2), "2020-01-04")
    late = Question("q2", "late", "2", (0, 1, 2, 3, 4), "2020-01-06")
    return User("u", split, ITEMS, (early, late))


def test_nothing_newer_than_the_first_evaluated_question_is_learned_from() -> None:
    assert {q.query_id for q in pseudo_queries(user(), 10)} == {"p:0", "p:1", "p:2"}
    assert all({i.item_id for i in q.history} == {"0", "1", "2"} for q in pseudo_queries(user(), 10))
    rows = agreement_rows(load_task("lamp_3"), user(), 10, 10, 0) + own_answer_rows(load_task("lamp_3"), user(), 10, 0)
    assert {row.query_id for row in rows} <= {"h:0", "h:1", "h:2"}


def test_a_test_users_questions_are_never_learned_from_and_a_training_users_are() -> None:
    assert all(q.pseudo for q in training_queries(user("test"), 10, None))
    assert [q.query_id for q in training_queries(user("train"), 0, None)] == ["q:q1", "q:q2"]
    assert [q.query_id for q in training_queries(user("train"), 0, 1)] == ["q:q2"]


def test_an_item_that_is_itself_a_question_is_not_asked() -> None:
    twin = User("u", "test", ITEMS, (Question("q", "text 0", "1", (0, 1, 2)),))
    assert "p:0" not in {q.query_id for q in pseudo_queries(twin, 10)}


def test_the_draw_does_not_depend_on_other_items() -> None:
    few = [q.query_id for q in pseudo_queries(User("u", "test", ITEMS), 2, seed=3)]
    more = [q.query_id for q in pseudo_queries(User("u", "test", ITEMS), 4, seed=3)]
    assert more[:2] == few


def test_a_users_pseudo_queries_leave_out_the_same_items_so_that_no_count_tells_their_answers() -> None:
    lone = User("u", "test", ITEMS)
    queries = pseudo_queries(lone, 3)
    unseen = unseen_items(queries)
    own = frozenset(str(query.exclude) for query in queries)
    assert len(own) == 3
    assert unseen == dict.fromkeys((query.query_id for query in queries), own)


def test_more_than_half_of_a_history_is_left_out_in_groups() -> None:
    queries = pseudo_queries(User("u", "test", ITEMS), 6)
    unseen = unseen_items(queries)
    assert all(query.exclude in unseen[query.query_id] for query in queries)
    assert sorted(map(len, unseen.values())) == [3] * 6
    assert len(set(unseen.values())) == 2


def test_real_questions_see_everything() -> None:
    queries = training_queries(user("train"), 2, None)
    unseen = unseen_items(queries)
    assert {name: len(ids) for name, ids in unseen.items() if name.startswith("q:")} == {"q:q1": 0, "q:q2": 0}
    assert unseen_items([]) == {}


def test_each_history_item_is_asked_with_the_items_before_it() -> None:
    found = history_queries(user(), load_task("lamp_3"))
    assert [(q.query_id, q.gold, [i.item_id for i in q.history]) for q in found] == [
        ("p:0", "0", []), ("p:1", "1", ["0"]), ("p:2", "2", ["0", "1"])
    ]  # fmt: skip
    twin = User("u", "test", ITEMS, (Question("q", "text 0", "1", (0, 1, 2)),))
    assert [q.query_id for q in history_queries(twin, load_task("lamp_3"))] == ["p:1", "p:2"]


def test_items_without_answers_are_asked_by_their_stand_ins() -> None:
    tweets = tuple(HistoryItem(str(i), f"one two three four five {i}", "", "", f"2020-01-0{i}") for i in (1, 2))
    found = history_queries(User("u", "test", tweets), load_task("lamp_7"))
    assert [f"{q.text} {q.gold}" for q in found] == [item.text for item in tweets]
    assert history_queries(User("u", "test", tweets), load_task("lamp_3")) == []
