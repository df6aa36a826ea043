"""What makes answers those of another model."""

from pathlib import Path

import pytest

from hydra_ray.config import LLMConfig, ServeLLMConfig
from hydra_ray.errors import UserError
from hydra_ray.llm.model_id import model_identity, server_identity
from hydra_ray.utils.model_digest import model_digest


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


def test_a_query_counts_alike_wherever_it_is_written():
    def identity(base_url: str, **query: str) -> str:
        return model_identity(LLMConfig(base_url=base_url, model="x", query=query))

    one = identity("https://a.example/v1?deployment=A&api-version=1")
    assert one == identity("https://a.example/v1", deployment="A")
    assert one == identity("https://a.example/v1?deployment=B", deployment="A")  # as it is sent
    assert len({one, identity("https://a.example/v1?deployment=B"), identity("https://a.example/v1")}) == 3


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


def test_beams_are_another_model_where_the_run_searches_them():
    def identity(beams: int, **more: str) -> str:
        serve = ServeLLMConfig(engine="transformers", source="a/b", num_beams=beams)
        return model_identity(LLMConfig(serve=serve, model="x", **more))

    assert identity(1) == "x#a/b"
    assert len({identity(1), identity(2), identity(4)}) == 3
    assert identity(4, base_url="https://a.example/v1") == "x@a.example"


def test_weights_in_another_number_format_are_another_model():
    def identity(dtype: str, **more: str) -> str:
        return model_identity(LLMConfig(serve=ServeLLMConfig(source="a/b", dtype=dtype), model="x", **more))

    assert identity("float32") == "x#a/b"
    assert len({identity("float32"), identity("bfloat16"), identity("float16")}) == 3
    assert identity("bfloat16", base_url="https://a.example/v1") == "x@a.example"
