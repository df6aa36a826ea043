"""One question through all stages, and what is left out when a stage fails."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hydra_ray.config import Config
from hydra_ray.core.features import AnswerCounts, AnswerFrequency
from hydra_ray.inference.pipeline import InferencePipeline
from hydra_ray.inference.prompt_builder import PromptBuilder
from hydra_ray.inference.trace import PersonalizedAnswer
from hydra_ray.inference.types import (
    DeadlineError,
    LLMDownError,
    LLMResponse,
    OverloadedError,
    PersonalizeRequest,
    RefusedError,
    RetrievalResult,
    StageDownError,
    UserKey,
)
from hydra_ray.llm.types import Request
from tests.inference.stages import ANN, ITEMS, LLM, Retriever, Scorer, known
from tests.utils.spans import recorded

DOWN = StageDownError("gone")


def with_adapter(task: str = "synthetic_tagging", **adapter: object) -> Config:
    return Config.model_validate({"data": {"task": task}, "adapter": {"num_samples": 3, "select": "best", **adapter}})


def ask(
    retriever: Retriever | None = None,
    scorer: Scorer | None = None,
    llm: LLM | None = None,
    asked: PersonalizeRequest | None = None,
    user: UserKey | None = ANN,
    made: Config | None = None,
) -> PersonalizedAnswer:
    feature_widths = {"reranker": 2, "adapter": 8}
    builder = PromptBuilder(made or with_adapter(), 0)
    parts: Any = (retriever or Retriever(), scorer or Scorer(), llm or LLM())
    one = InferencePipeline(builder, *parts, feature_widths, run="a-run")
    return asyncio.run(one.personalize(user, asked or PersonalizeRequest("what now"), "r1"))


def reasons(made: PersonalizedAnswer) -> list[str]:
    return [d.reason for d in made.trace.degraded]


def test_the_reranker_orders_the_prompt_and_the_adapter_the_answers() -> None:
    scorer, llm = Scorer(), LLM()
    made = ask(scorer=scorer, llm=llm)
    # Of the ten first retrieved, the reranker likes the last best; the best example stands last in the prompt.
    assert [item.item_id for item in made.trace.retrieved][:4] == ["i9", "i8", "i7", "i6"]
    assert [item.in_prompt for item in made.trace.retrieved] == [True] * 4 + [False] * 6
    prompt = llm.requests[0].messages[-1]["content"]
    assert prompt.index("text number 6") < prompt.index("text number 9") < prompt.index("what now")
    assert made.answer == "maple"
    assert made.trace.degraded == []
    assert made.trace.versions.own_heads == ["reranker", "adapter"]
    assert [s.version for s in scorer.requests] == [5, 6]
    assert scorer.requests[0].features[:2] == ((1.0, 1.0), (11 / 12, 0.5))
    assert [len(s.features[0]) for s in scorer.requests] == [2, 8]
    assert {*made.trace.ms} == {"retrieve", "rerank", "llm", "select", "total"}


def test_as_many_answers_as_were_asked_for_and_no_fewer_samples() -> None:
    llm = LLM()
    made = ask(llm=llm, asked=PersonalizeRequest("what now", n=5, temperature=0.3, max_tokens=4, seed=9))
    assert made.answers == ["maple", "dune"], "the same answer twice is no further answer"
    assert [(lack.reason, lack.detail.split(":")[0]) for lack in made.trace.degraded] == [("fewer_answers", "2 of 5")]
    assert llm.requests[0].n == 5
    assert (llm.requests[0].temperature, llm.requests[0].max_tokens, llm.requests[0].seed) == (0.3, 4, 9)


def test_messages_before_the_question_stay_before_it() -> None:
    llm = LLM()
    ask(llm=llm, asked=PersonalizeRequest("what now", before=({"role": "system", "content": "be brief"},), plain=True))
    assert all(asked.messages[0] == {"role": "system", "content": "be brief"} for asked in llm.requests)
    assert len(llm.requests) == 2


def test_the_plain_answer_shows_no_records() -> None:
    llm = LLM()
    made = ask(llm=llm, asked=PersonalizeRequest("what now", plain=True))
    assert made.plain == "maple"
    assert sum("text number" in asked.messages[-1]["content"] for asked in llm.requests) == 1


@pytest.mark.parametrize(
    "error", [LLMDownError("HTTP 500"), RefusedError("too long"), DeadlineError("late"), OverloadedError()]
)
def test_a_plain_answer_that_fails_is_left_out_and_noted(error: Exception) -> None:
    class NoPlain(LLM):
        async def sample(self, request: Request, **how: Any) -> LLMResponse:
            if request.temperature == 0.0:
                raise error
            return await super().sample(request, **how)

    made = ask(llm=NoPlain(), asked=PersonalizeRequest("what now", plain=True))
    assert (made.answer, made.plain) == ("maple", None)
    assert [(lack.reason, lack.detail) for lack in made.trace.degraded] == [("plain_failed", str(error))]


def test_a_defect_in_the_plain_answer_is_not_hidden() -> None:
    class Defect(LLM):
        async def sample(self, request: Request, **how: Any) -> LLMResponse:
            if request.temperature == 0.0:
                raise ZeroDivisionError
            return await super().sample(request, **how)

    with pytest.raises(ZeroDivisionError):
        ask(llm=Defect(), asked=PersonalizeRequest("what now", plain=True))


@pytest.mark.parametrize(
    ("scorer", "reason"),
    [
        (Scorer(errors={"adapter": DOWN}), "adapter_down"),
        (Scorer(errors={"reranker": DOWN}), "reranker_down"),
        (Scorer(problem="a broken row"), "head_unreadable"),
    ],
)
def test_what_fails_in_the_scorer_is_left_out_and_noted(scorer: Scorer, reason: str) -> None:
    made = ask(scorer=scorer)
    assert made.answer in {"maple", "dune"}
    assert set(reasons(made)) == {reason}


@pytest.mark.parametrize(
    ("texts", "cut", "own", "ended"),
    [
        (("dune", "maple"), {0}, {}, {"dune"}),
        (("dune", "maple", "dune"), {0}, {}, set()),  # the same text came whole, too
        (("dune", "maple", "dune"), {0, 1, 2}, {}, {"dune", "maple"}),
        (("dune", "maple"), {0}, {"dune": AnswerFrequency(1, 1.0, 1.0)}, set()),  # one of the user's own past answers
        (("no such tag",), {0}, {}, {""}),
    ],
)
def test_an_answer_is_cut_if_every_sample_of_it_is(
    texts: Sequence[str], cut: set[int], own: AnswerCounts, ended: set[str]
) -> None:
    llm = LLM(texts, cut=frozenset(cut))
    made = ask(
        Retriever(replace(known(), answer_counts=own)),
        llm=llm,
        asked=PersonalizeRequest("what now", n=len(texts)),
        made=with_adapter(num_samples=1),
    )
    assert {made.answers[i] for i in made.cut} == ended


def test_a_shortened_prompt_is_noted_and_the_trace_shows_what_was_sent() -> None:
    llm = LLM(too_long=2)
    made = ask(llm=llm, asked=PersonalizeRequest("what now"))
    assert [(lack.reason, lack.detail) for lack in made.trace.degraded] == [
        ("prompt_shortened", "0 of 4 examples were shown")
    ]
    assert (made.trace.prompt.examples, made.trace.prompt.dropped_examples) == (0, 4)
    assert [item.in_prompt for item in made.trace.retrieved] == [False] * 10
    (message,) = made.trace.prompt.messages
    assert "what now" in message.content
    assert "text number" not in message.content


def test_a_question_that_no_model_reads_whole_is_cut_and_never_an_error() -> None:
    before = ({"role": "system", "content": "be brief"}, {"role": "user", "content": "first"})
    llm = LLM(too_long=99)
    made = ask(llm=llm, asked=PersonalizeRequest(" ".join(f"w{i}" for i in range(400)), before=before))
    assert [lack.reason for lack in made.trace.degraded] == ["prompt_shortened", "question_cut"]
    assert "less of the conversation" in made.trace.degraded[0].detail
    assert made.trace.prompt.question_cut
    assert len(made.trace.prompt.messages) == 1
    assert "w11" in made.trace.prompt.messages[0].content
    assert "w399" not in made.trace.prompt.messages[0].content


def test_a_question_longer_than_the_budget_is_cut_and_noted() -> None:
    made = ask(asked=PersonalizeRequest("word " * 5000))
    assert "question_cut" in reasons(made)


def test_further_parameters_go_to_the_model() -> None:
    llm = LLM()
    ask(llm=llm, asked=PersonalizeRequest("what now", more={"stop": ["."]}))
    assert llm.more[0] == {"stop": ["."]}


def test_what_is_wrong_with_a_head_is_for_the_log(caplog: pytest.LogCaptureFixture) -> None:
    made = ask(scorer=Scorer(problem="/state/reranker.heads: a broken row"))
    assert {lack.detail for lack in made.trace.degraded} == {
        "the reranker's; the service's log says why",
        "the adapter's; the service's log says why",
    }
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "/state/reranker.heads: a broken row" in caplog.records[0].getMessage()


def test_without_reranker_the_order_is_the_retrievers() -> None:
    made = ask(scorer=Scorer(errors={"reranker": DOWN}))
    assert [item.item_id for item in made.trace.retrieved if item.in_prompt] == ["i0", "i1", "i2", "i3"]
    assert made.trace.retrieved[0].reranker is None


def test_without_adapter_the_first_candidate_is_the_answer() -> None:
    made = ask(scorer=Scorer(errors={"adapter": DOWN}), llm=LLM(("dune", "maple")))
    assert made.answer == "dune"
    assert made.trace.candidates[0].adapter is None


def test_an_unknown_user_gets_the_shared_head_and_a_plain_prompt() -> None:
    scorer, llm = Scorer(), LLM()
    made = ask(retriever=Retriever(RetrievalResult()), scorer=scorer, llm=llm)
    assert reasons(made) == ["user_unknown"]
    assert [s.user for s in scorer.requests] == [None]
    assert "text number" not in llm.requests[0].messages[-1]["content"]


def test_an_unreadable_history_is_not_an_unknown_user() -> None:
    made = ask(retriever=Retriever(error=DOWN))
    assert reasons(made) == ["history_unreadable"]
    assert made.trace.prompt.examples == 0


def test_no_user_at_all() -> None:
    retriever = Retriever()
    assert reasons(ask(retriever=retriever, user=None)) == ["no_user"]
    assert retriever.requests == []


@pytest.mark.parametrize(
    ("task", "sample", "plain"),
    [
        ("synthetic_tagging", "no such tag", "no such tag"),
        ("synthetic_tagging", "<think>Is it maple? This person", ""),
        ("synthetic_headline", "<think>The user wants a headline", ""),
        ("synthetic_headline", "<think>A headline.</think>", ""),
    ],
)
def test_where_no_sample_holds_an_answer_it_is_empty_and_noted(task: str, sample: str, plain: str) -> None:
    made = with_adapter(history_candidates=False, task=task)
    found = ask(llm=LLM((sample,)), made=made, asked=PersonalizeRequest("what now", plain=True))
    assert reasons(found) == ["no_candidate"]
    assert (found.answer, found.answers, found.plain) == ("", [""], plain)
    assert "think" not in found.model_dump_json()


def test_the_users_own_answers_are_candidates() -> None:
    made = ask(llm=LLM(("dune",)))
    assert {(c.text, c.own, c.votes) for c in made.trace.candidates} == {("dune", True, 3), ("maple", True, 0)}


def test_an_own_answer_that_is_no_number_breaks_no_rating() -> None:
    config = Config.model_validate(
        {"data": {"task": "synthetic_rating"}, "adapter": {"num_samples": 3, "select": "weighted"}}
    )
    found = replace(known(), answer_counts={"great": AnswerFrequency(2, 1.0, 1.0), "4": AnswerFrequency(1, 1.0, 1.0)})
    made = ask(Retriever(found), llm=LLM(("3", "5", "3")), made=config)
    assert {candidate.text for candidate in made.trace.candidates} == {"3", "5", "4"}


def test_a_user_with_one_record_and_one_without() -> None:
    assert [i.item_id for i in ask(retriever=Retriever(known(ITEMS[:1]))).trace.retrieved] == ["i0"]
    assert ask(retriever=Retriever(known(()))).trace.retrieved == []


@pytest.mark.parametrize("error", [LLMDownError("no connection"), OverloadedError(2.0)])
def test_without_the_llm_there_is_no_answer(error: Exception) -> None:
    with pytest.raises(type(error)):
        ask(llm=LLM(error=error))


def test_overload_is_no_degradation() -> None:
    with pytest.raises(OverloadedError):
        ask(retriever=Retriever(error=OverloadedError(1.0)))


def test_past_the_deadline_nothing_more_is_asked() -> None:
    llm = LLM()
    with pytest.raises(DeadlineError):
        ask(llm=llm, asked=PersonalizeRequest("what now", deadline=time.time() - 1))
    assert llm.requests == []


def test_an_answer_of_several_lines_is_served_whole(tmp_path: Path) -> None:
    mail = "Dear Ms Lee,\n\nthank you for your order.\n\nKind regards"
    lines = ["lamp_ids: [mails]", "kind: generation", "text_fields: [text]", "answer_field: mail"]
    lines += ["question_marker: 'text:'", "instruction: Answer the mail.", "primary_metric: rouge1"]
    (tmp_path / "mails.yaml").write_text("\n".join(lines))
    config = Config.model_validate({"data": {"task": str(tmp_path / "mails.yaml")}, "adapter": {"num_samples": 3}})
    made = ask(Retriever(known(())), llm=LLM((mail,)), made=config)
    assert made.answer == mail


def test_a_span_a_stage_and_no_text() -> None:
    with recorded() as exporter:
        ask(asked=PersonalizeRequest("what now", plain=True))
        assert {span.name for span in exporter.get_finished_spans()} == {"retrieve", "rerank", "llm", "select", "plain"}
        whole = " ".join(span.to_json() for span in exporter.get_finished_spans())
    assert not [text for text in ("what now", "ann", "default", "maple", "text number") if f'"{text}' in whole]
