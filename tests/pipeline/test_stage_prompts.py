"""What the makers ask and keep, without Ray and without a model."""

from collections import Counter
from typing import Any

import pytest

from hydra_ray.config import Config
from hydra_ray.core.labeling import OWN_ROW
from hydra_ray.core.queries import Query, make_query
from hydra_ray.core.types import HistoryItem, Question, User
from hydra_ray.errors import UserError
from hydra_ray.inference.reranking import rank
from hydra_ray.pipeline.stage_prompts import CandidatePrompts, LabelPrompts, StagePrompts
from hydra_ray.pipeline.stage_rows import Cuts
from hydra_ray.synth.world import make_user


def config(**changes: Any) -> dict[str, Any]:
    return Config.model_validate({"protocol": {"pseudo_queries": 2}, **changes}).model_dump(mode="json")


USER = make_user("tagging", 0, 3, (14, 14), 1).to_user()
HISTORY = tuple(USER.safe_history())
QUERY = Query("q", USER.questions[0].text, USER.questions[0].gold or "", HISTORY, None, False)


def test_features_reach_beyond_the_records_that_may_be_shown() -> None:
    maker = StagePrompts(config(retrieval={"top_n": 5}, adapter={"feature_items": 9}), 0, None)
    found = maker.index(HISTORY).search(QUERY.text, maker.builder.feature_items)
    assert len(found.items) == 9
    # The reranker likes the last best: of the five that may be shown, the fifth comes first.
    shown = maker.builder.examples(rank(found.items, range(9)))
    assert shown == list(found.items[4:0:-1])


def test_support_never_cuts_the_records_that_may_be_shown() -> None:
    assert (
        StagePrompts(config(retrieval={"top_n": 5}, adapter={"feature_items": 1}), 0, None).builder.feature_items == 5
    )
    headlines = config(data={"task": "synthetic_headline", "synth": {"task": "headline"}}, retrieval={"top_n": 5})
    assert StagePrompts(headlines, 0, None).builder.feature_items == 5


def test_labelling_asks_once_for_each_retrieved_record_and_nothing_for_the_users_own_answers() -> None:
    made = list(LabelPrompts(config(retrieval={"top_n": 6}, reranker={"num_history_queries": 4}), 0, None)([USER]))
    assert all(user is USER for user, _ in made)
    asking = [one for _, one in made if one.requests]
    free = [one for _, one in made if not one.requests]
    assert len(asking) == 2 + 1  # pseudo-queries, and a training user's own question
    assert len(free) == 4
    for one in asking:
        row = one.row
        assert len(one.requests) == len(row.query.candidates) == len(row.normalized_scores) == len(row.recencies) == 6
        assert {(r.temperature, r.n) for r in one.requests} == {(0.0, 1)}
        assert one.cuts == Cuts()
    for one in free:
        row, query = one.row, one.row.query
        assert len(query.known) == len(query.candidates) == len(row.normalized_scores)
        assert all(0 <= score <= 1 for score in row.normalized_scores)
        excluded = query.query_id.removeprefix(OWN_ROW)
        assert row.recencies == tuple(recency(text, excluded) for text in query.candidates)
    row = asking[0].row
    assert row.recencies == tuple(recency(text, None) for text in row.query.candidates)
    row = asking[1].row
    excluded = row.query.query_id.removeprefix("p:")
    assert row.recencies == tuple(recency(text, excluded) for text in row.query.candidates)


def recency(text: str, exclude: str | None) -> float:
    """Of the one record with this text, among those that a query about `exclude` may retrieve."""
    texts = [item.text for item in HISTORY if item.item_id != exclude]
    return (texts.index(text) + 1) / len(texts)


def lamp_user(items: list[HistoryItem], question: Question) -> User:
    return User("u", "train", tuple(items), (question,))


def test_lamps_layout_asks_the_datas_own_input_and_knows_that_of_history_items() -> None:
    items = [HistoryItem(str(i), f"text {i}", f"text {i}", "5", f"2020-01-0{i + 1}") for i in range(3)]
    user = lamp_user(items, Question("1", "fine", "4", (0, 1, 2), "2020-02-01", "Our own words: "))
    maker = LabelPrompts(config(data={"task": "lamp_3", "source": "lamp", "root": "."}, llm={"prompt": "lamp"},
                              retrieval={"top_n": 4}, protocol={"pseudo_queries": 1}), 0, None)  # fmt: skip
    contents = {
        prompted.row.query.query_id: [request.messages[0]["content"] for request in prompted.requests]
        for _, prompted in maker([user])
    }
    assert sorted(contents.pop("q:1")) == [f'5 is the score for "text {i}" . Our own words: fine' for i in range(3)]
    ((query_id, pseudo),) = contents.items()
    own = query_id.removeprefix("p:")
    assert {content.partition(" . ")[2] for content in pseudo} == {
        "What is the score of the following review on a scale of 1 to 5? just answer with 1, 2, 3, 4, or 5 without "
        f"further explanation. review: text {own}"
    }


def test_lamps_layout_puts_its_own_words_before_a_question_of_the_service() -> None:
    maker = StagePrompts(
        config(data={"task": "lamp_4", "source": "lamp", "root": "."}, llm={"prompt": "lamp"}), 0, None
    )
    prompt = maker.builder.prompt(
        make_query("Frost on the reeds."), [HistoryItem("a", "It rained.", "It rained.", "Rain")]
    )
    assert prompt.messages[0]["content"] == (
        '"Rain" is the title for "It rained." . Generate a headline for the following article: Frost on the reeds.'
    )
    with pytest.raises(UserError, match=r"llm\.prompt: lamp: task synthetic_tagging has no LaMP layout"):
        StagePrompts(config(llm={"prompt": "lamp"}), 0, None)


def test_items_without_answers_are_asked_by_their_stand_in() -> None:
    items = [HistoryItem(str(i), f"Title {i}", f"Title {i} Abstract {i}.", "", "2020") for i in range(3)]
    make_query = 'the title "T", which reference is related? [1]: "Title 1" [2]: "Title 7"'
    user = lamp_user(items, Question("1", make_query, "[1]", (0, 1, 2)))
    changes = {"data": {"task": "lamp_1", "source": "lamp", "root": "."}, "retrieval": {"top_n": 4}}
    made = {prompted.row.query.query_id: prompted for _, prompted in LabelPrompts(config(**changes), 0, None)([user])}
    real = made.pop("q:1")
    assert (real.row.query.candidates[0], real.requests[0].max_tokens) == ("Title 1", 24)
    for query_id, prompted in made.items():
        row, requests = prompted.row.query, prompted.requests
        number = query_id.removeprefix("p:")
        other = row.candidates[0].removeprefix("Title ")
        assert (row.text, row.gold, requests[0].max_tokens) == (f"Title {number}", f"Abstract {number}.", 256)
        assert requests[0].messages[0]["content"] == (
            "Write an abstract for this title:\n\n"
            f"Title: Title {other}\nAbstract: Abstract {other}.\n\nTitle: Title {number}\nAbstract:"
        )
    assert len(made) == 2


def test_the_adapters_rows_of_a_user_count_the_same_items_whatever_their_answers_are() -> None:
    made = config(protocol={"pseudo_queries": 4}, adapter={"examples": "retrieval", "num_history_queries": 3})
    rows = [one.row for one in CandidatePrompts(made, 0, None).of_user(USER, None)]
    pseudo = [row for row in rows if row.query.query_id.startswith("p:")]
    assert len(pseudo) == 4
    left_out = {row.query.query_id.removeprefix("p:") for row in pseudo}
    counted = Counter(item.answer for item in HISTORY if item.item_id not in left_out)
    assert all({answer: counts.times for answer, counts in row.answer_counts.items()} == counted for row in pseudo)
    answers = [item.answer for item in HISTORY if item.item_id not in left_out]
    assert all({one.answer for one in row.supporters} <= set(answers) for row in pseudo)
    own = [row for row in rows if row.query.query_id.startswith(OWN_ROW)]
    assert len(own) == 3
    assert (
        len({tuple(sorted((answer, counts.times) for answer, counts in row.answer_counts.items())) for row in own}) == 1
    )
