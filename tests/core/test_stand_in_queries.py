"""What is asked of items that carry no answer, and what their answers are measured by."""

import math

from hydra_ray.core.labeling import Row, reranker_labels_of_user
from hydra_ray.core.queries import pseudo_queries
from hydra_ray.core.stand_in_queries import shown_items, stand_in_of, task_of
from hydra_ray.core.tasks import load_task
from hydra_ray.core.types import HistoryItem, Question, User

CITATION, TWEET = load_task("lamp_1"), load_task("lamp_7")
PAPER = HistoryItem("p", "A Title", "A Title What was found.", "", "2020")


def tweet(item_id: str, text: str) -> HistoryItem:
    return HistoryItem(item_id, text, text, "")


def test_an_abstract_follows_its_title() -> None:
    made = stand_in_of(CITATION, PAPER)
    assert made == HistoryItem("p", "A Title", "A Title What was found.", "What was found.", "2020")
    assert stand_in_of(CITATION, HistoryItem("p", "A Title", "A Title", "")) is None
    assert shown_items(CITATION, [PAPER]) == [made]


def test_a_tweet_is_completed_after_a_tenth_to_a_quarter_of_its_words() -> None:
    text = " ".join(f"w{i}" for i in range(20))
    shown = set()
    for i in range(50):
        made = stand_in_of(TWEET, tweet(str(i), text))
        assert made is not None
        assert f"{made.text} {made.answer}" == text
        shown.add(len(made.text.split()))
    assert shown == {2, 3, 4, 5}
    two = stand_in_of(TWEET, tweet("x", "good  morning"))
    assert two is not None
    assert (two.text, two.answer) == ("good", "morning")
    assert stand_in_of(TWEET, tweet("x", "hello")) is None
    assert shown_items(TWEET, [tweet("x", text)]) == [tweet("x", text)]


def test_items_without_answers_become_stand_in_queries() -> None:
    items = (PAPER, HistoryItem("q", "Other", "Other Its abstract.", ""), HistoryItem("r", "Bare", "Bare", ""))
    user = User("u", "train", items, (Question("1", "which?", "[1]", (0, 1, 2)),))
    made = {query.query_id: (query.text, query.gold, query.exclude) for query in pseudo_queries(user, 5, 0, CITATION)}
    assert made == {"p:p": ("A Title", "What was found.", "p"), "p:q": ("Other", "Its abstract.", "q")}
    assert pseudo_queries(user, 5) == []


def test_stand_in_answers_are_measured_as_free_text() -> None:
    assert (CITATION.stand_in_task.kind, CITATION.stand_in_task.max_answer_tokens) == ("generation", 256)
    assert task_of(CITATION, "p:1") is CITATION.stand_in_task
    assert task_of(CITATION, "q:1") is CITATION
    assert task_of(load_task("lamp_3"), "p:1") is load_task("lamp_3")
    rows = [
        Row("u", "p:a", "t", "the cat sat", ("x", "y"), answers=(("the cat sat",), ("no words",))),
        Row("u", "q:b", "t", "[1]", ("x", "y"), answers=(("[1]",), ("[2]",))),
        Row("u", "p:c", "t", "a dog", ("x", "y"), answers=((), ("a dog",))),
    ]
    labels = reranker_labels_of_user(CITATION, rows, "query")
    assert labels[:2] == [[1.0, 0.0], [1.0, 0.0]]
    assert math.isnan(labels[2][0])


def test_retrieval_searches_for_the_two_options() -> None:
    asked = 'the paper with the title "On "quotes"", which reference is related? [1]: "A "b" c" [2]: "D"'
    assert CITATION.search_text(asked) == 'A "b" c D'
    assert CITATION.search_text("something else") == "something else"
    assert TWEET.search_text("x [1]") == "x [1]"
