from dataclasses import replace

import pytest

from hydra_ray.llm.types import Request, call_key, canonical_json, finishes

ASK = Request(({"role": "user", "content": 'né\u2028 "x"'},), temperature=1, n=8, max_tokens=4, seed=3)


def test_json_is_canonical():
    assert canonical_json(ASK) == (
        '{"max_tokens":4,"messages":[{"content":"né\u2028 \\"x\\"","role":"user"}],"n":1,"seed":3,"temperature":1.0}'
    )
    swapped = Request(({"content": 'né\u2028 "x"', "role": "user"},), 1.0, 2, 4, 3)
    assert canonical_json(swapped) == canonical_json(ASK)


def test_keys_of_paid_answers_stay_what_they_were():
    half = Request(({"role": "user", "content": "a \ud83d"},))
    assert call_key("m@h", ASK, 0, 1) == "215835b21cafac92a147eceef53dc446adf18a0c"
    assert call_key("m@h", half) == "ccef852533c04925d3070897207649c47071340d"
    assert call_key("m@h", half) == call_key("m@h", Request(({"role": "user", "content": "a \ufffd"},)))


def test_key_depends_on_everything_but_n():
    key = call_key("m@h", ASK, 0, 1)
    assert key == call_key("m@h", Request(ASK.messages, 1.0, 2, 4, 3), 0, 1)
    others = [
        call_key("m@i", ASK, 0, 1),
        call_key("m@h", ASK, 1, 1),
        call_key("m@h", ASK, 0, 2),
        call_key("m@h", Request(ASK.messages, 0.5, 8, 4, 3), 0, 1),
        call_key("m@h", Request(ASK.messages, 1.0, 8, 5, 3), 0, 1),
        call_key("m@h", Request(ASK.messages, 1.0, 8, 4, None), 0, 1),
        call_key("m@h", Request(({"role": "system", "content": "né"},), 1.0, 8, 4, 3), 0, 1),
    ]
    assert len({key, *others}) == len(others) + 1


def test_fallbacks_are_no_part_of_the_key():
    asked = replace(ASK, fallbacks=(({"role": "user", "content": "n"},),))
    assert call_key("m@h", asked) == call_key("m@h", ASK)


def test_older_entries_of_the_cache_say_how_their_texts_ended():
    record = {"texts": ["a", "b"], "prompt_tokens": 1, "completion_tokens": 1}
    assert finishes(record) == ("stop", "stop")
    assert finishes({**record, "cut": [1]}) == ("stop", "length")
    assert finishes({**record, "finish": ["empty", "content_filter"]}) == ("empty", "content_filter")


@pytest.mark.parametrize("wrong", [{"n": 0}, {"max_tokens": 0}, {"messages": ()}])
def test_impossible_requests_are_refused(wrong):
    with pytest.raises(ValueError, match="needs messages"):
        Request(**{"messages": ASK.messages, **wrong})
