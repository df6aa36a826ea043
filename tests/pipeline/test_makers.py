"""What the makers ask and keep, without Ray and without a model."""

import json
from dataclasses import replace
from typing import Any

from hydra_ray.config import Config
from hydra_ray.core.feedback import OWN_ROW
from hydra_ray.core.queries import Query
from hydra_ray.pipeline.makers import LabelMaker, Maker, SummaryMaker
from hydra_ray.synth.world import make_user


def config(**changes: Any) -> dict[str, Any]:
    return Config.model_validate({"protocol": {"pseudo_queries": 2}, **changes}).model_dump(mode="json")


USER = make_user("tagging", 0, 3, (14, 14), 1).to_user()
HISTORY = tuple(USER.safe_history())
QUERY = Query("q", USER.questions[0].text, USER.questions[0].gold or "", HISTORY, None, False)


def test_evidence_reaches_beyond_the_records_that_may_be_shown() -> None:
    maker = Maker(config(retrieval={"n": 5}, adapter={"support": 9}), 0, None)
    (found,) = maker.candidates([QUERY], maker.support)
    assert len(found) == 9
    # The reranker likes the last best: of the five that may be shown, the fifth comes first.
    shown = maker.examples(found, found[::-1])
    assert [item.item_id for item in shown] == [item.item_id for item, _ in found[4:0:-1]]


def test_support_never_cuts_the_records_that_may_be_shown() -> None:
    assert Maker(config(retrieval={"n": 5}, adapter={"support": 1}), 0, None).support == 5
    headlines = config(data={"task": "synthetic_headline", "synth": {"task": "headline"}}, retrieval={"n": 5})
    assert Maker(headlines, 0, None).support == 5


def test_labelling_asks_once_for_each_retrieved_record_and_nothing_for_the_users_own_answers() -> None:
    made = list(LabelMaker(config(retrieval={"n": 6}, reranker={"history_queries": 4}), 0, None)([USER]))
    assert all(user is USER for user, _ in made)
    asking = [asked for _, asked in made if asked[1]]
    free = [asked for _, asked in made if not asked[1]]
    assert len(asking) == 2 + 1  # pseudo-queries, and a training user's own question
    assert len(free) == 4
    for row, requests, cut, extra in asking:
        assert len(requests) == len(row.right) == len(extra["shares"]) == len(extra["recencies"]) == 6
        assert {(r.temperature, r.n) for r in requests} == {(0.0, 1)}
        assert not any(cut.values())
    for row, _, _, extra in free:
        assert len(row.known) == len(row.right) == len(extra["shares"])
        assert all(0 <= share <= 1 for share in extra["shares"])
        assert extra["recencies"] == [recency(text, row.query_id.removeprefix(OWN_ROW)) for text in row.right]
        json.dumps(extra)
    row, _, _, extra = asking[0]
    assert extra["recencies"] == [recency(text, None) for text in row.right]
    row, _, _, extra = asking[1]
    assert extra["recencies"] == [recency(text, row.query_id.removeprefix("p:")) for text in row.right]


def recency(text: str, exclude: str | None) -> float:
    """Of the one record with this text, among those that a query about `exclude` may retrieve."""
    texts = [item.text for item in HISTORY if item.item_id != exclude]
    return (texts.index(text) + 1) / len(texts)


def test_a_user_without_history_gets_no_profile_summary() -> None:
    nobody = replace(USER, items=(), questions=tuple(replace(q, history=()) for q in USER.questions))
    ((_, (_, requests, _, _)),) = SummaryMaker(config(), 0, None)([nobody])
    assert requests == []
    ((_, (_, requests, _, _)),) = SummaryMaker(config(), 0, None)([USER])
    assert len(requests) == 1
