from dataclasses import replace
from pathlib import Path

import pytest

from hydra_ray.config import LLMConfig, ServeLLMConfig
from hydra_ray.errors import UserError
from hydra_ray.llm.model_id import model_identity, server_identity
from hydra_ray.llm.types import Request, call_key, canonical_json, finishes
from hydra_ray.utils.model_digest import model_digest

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


def test_retrained_weights_are_another_model(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"one")
    cfg = LLMConfig(serve=ServeLLMConfig(source=str(tmp_path)))
    before = model_identity(cfg)
    assert before == f"hydra-tiny#{model_digest(tmp_path)}"
    (tmp_path / "model.safetensors").write_bytes(b"two")
    assert model_identity(cfg) != before


def test_external_identity_is_name_and_host():
    assert model_identity(LLMConfig(base_url="https://a.example/v1", model="x")) == "x@a.example"
    assert model_identity(LLMConfig(base_url="http://a.example:81/one/v1/", model="x")) == "x@a.example:81/one"
    assert model_identity(LLMConfig(base_url="http://a.example:81/v1", model="x")) == "x@a.example:81"


def test_what_changes_the_answers_is_another_model(tmp_path: Path):
    plain = LLMConfig(base_url="https://a.example/v1", model="x")
    changes = [
        {"system_prompt": "Be brief."}, {"system_prompt": "Be kind."}, {"top_p": 0.9}, {"extra_body": {"think": False}},
        {"parameters": {"temperature": None}}, {"query": {"deployment": "d"}},
    ]  # fmt: skip
    identities = [model_identity(plain.model_copy(update=change)) for change in changes]
    assert all(identity.startswith("x@a.example+") for identity in identities)
    assert len({*identities, model_identity(plain)}) == len(changes) + 1
    same = [
        {"query": {"api-version": "1", "code": "$KEY"}}, {"parameters": {"max_tokens": "max_completion_tokens"}},
        {"parameters": {"seed": None}}, {"headers": {"X-Team": "a"}}, {"system_prompt": ""}, {"supports_n": False},
        {"base_url": " https://a.example/v1/?api-version=1 "}, {"base_url": "https://a.example/v1/chat/completions"},
    ]  # fmt: skip
    assert {model_identity(plain.model_copy(update=change)) for change in same} == {"x@a.example"}


def test_a_served_model_is_the_same_application_whatever_is_sent_with_requests(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    cfg = LLMConfig(serve=ServeLLMConfig(source=str(tmp_path)))
    asked = cfg.model_copy(update={"system_prompt": "Be brief."})
    assert model_identity(asked) != model_identity(cfg)
    assert server_identity(asked) == server_identity(cfg)


def test_missing_or_empty_weight_folders_are_named(tmp_path: Path):
    with pytest.raises(UserError, match="no such folder"):
        model_identity(LLMConfig(serve=ServeLLMConfig(source=str(tmp_path / "nothing"))))
    with pytest.raises(UserError, match=r"config\.json"):
        model_identity(LLMConfig(serve=ServeLLMConfig(source=str(tmp_path))))
