"""What a client works on, without any server."""

from hydra_ray.llm.calls import CallGroup, samples
from hydra_ray.llm.types import CachedResponse, Request

MESSAGES = ({"role": "user", "content": "long"},)
SHORTER = tuple(({"role": "user", "content": text},) for text in ("short", "x"))
ASKED = Request(MESSAGES, temperature=1.0, n=3, max_tokens=4, fallbacks=SHORTER)


def part(*texts: str, **more: object) -> CachedResponse:
    return {"texts": list(texts), "prompt_tokens": 7, "completion_tokens": 2, **more}  # type: ignore[typeddict-item]


def test_greedy_is_one_sample() -> None:
    assert samples(ASKED) == 3
    assert samples(Request(MESSAGES, temperature=0.0, n=3, max_tokens=4)) == 1


def test_an_answer_is_its_parts_in_order() -> None:
    group = CallGroup(ASKED, parts={1: part("b", "c", "d"), 0: part("a", degraded=True)})
    found = group.answer(3)
    assert (found.texts, found.prompt_tokens, found.completion_tokens) == (("a", "b", "c"), 14, 4)
    assert found.cached
    assert found.degraded
    group.paid = True
    assert not group.answer(3).cached


def test_greedy_answers_are_repeated_for_all_who_ask() -> None:
    group = CallGroup(Request(MESSAGES, temperature=0.0, n=3, max_tokens=4), parts={0: part("a")})
    assert group.answer(3).texts == ("a", "a", "a")
    assert len(group.answer(3).finish) == 3


def test_only_what_the_first_call_left_out_is_missing() -> None:
    group = CallGroup(ASKED)
    assert group.missing() == []
    group.parts[0] = part("a")
    assert group.missing() == [1, 2]


def test_a_prompt_that_is_too_long_gets_shorter_until_it_cannot() -> None:
    group = CallGroup(ASKED)
    assert group.shown(0).messages == MESSAGES
    assert group.shorten(0)
    assert group.shown(group.level).messages == SHORTER[0]
    assert group.shorten(1)
    assert group.shown(group.level).messages == SHORTER[1]
    assert not group.shorten(2)
    assert group.level == 2
    assert not CallGroup(Request(MESSAGES, max_tokens=4)).shorten(0)
