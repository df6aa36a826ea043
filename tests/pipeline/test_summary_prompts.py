from dataclasses import replace

from hydra_ray.config import Config
from hydra_ray.core.types import User
from hydra_ray.llm.types import Request
from hydra_ray.pipeline.summary_prompts import OF_USER, SummaryPrompts, UserSummaryPrompts
from hydra_ray.synth.world import make_user

CONFIG = Config().model_dump(mode="json")
USER = make_user("tagging", 0, 3, (14, 14), 1).to_user()


def asked(maker: SummaryPrompts, user: User) -> dict[str, tuple[Request, ...]]:
    return {prompted.row.query.query_id: prompted.requests for _, prompted in maker([user])}


def test_a_user_without_history_gets_no_profile_summary() -> None:
    no_items = replace(USER, items=(), questions=tuple(replace(q, history=()) for q in USER.questions))
    for maker in (SummaryPrompts(CONFIG, 0, None), UserSummaryPrompts(CONFIG, 0, None)):
        ((requests,), (none,)) = asked(maker, USER).values(), asked(maker, no_items).values()
        assert (len(requests), none) == (1, ())


def test_the_summary_of_a_user_with_one_question_is_that_questions() -> None:
    of_question, of_user = (
        asked(SummaryPrompts(CONFIG, 0, None), USER),
        asked(UserSummaryPrompts(CONFIG, 0, None), USER),
    )
    assert of_user.keys() == {OF_USER}
    assert list(of_question.values()) == list(of_user.values())


def test_the_summary_of_a_user_shows_what_every_question_sees() -> None:
    (last,) = USER.questions
    first = replace(last, question_id="first", history=last.history[:3])
    requests = asked(UserSummaryPrompts(CONFIG, 0, None), replace(USER, questions=(first, last)))[OF_USER]
    assert requests == asked(SummaryPrompts(CONFIG, 0, None), replace(USER, questions=(first,)))["first"]
