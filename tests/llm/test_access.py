import pickle

import pytest
from pydantic import ValidationError

from hydra_ray.config import LLMConfig
from hydra_ray.env import Secret
from hydra_ray.errors import UserError
from hydra_ray.llm.access import credentials

KEY = "sk-very-secret"


def test_variables_are_filled_in_and_nothing_shows_them(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", KEY)
    monkeypatch.setenv("MY_KEY", "other-secret")
    cfg = LLMConfig(
        api_key_env="MY_KEY", headers={"X-Auth-Token": "Token ${MY_TOKEN}", "X-Team": "a"}, query={"code": "$MY_TOKEN"}
    )
    got = pickle.loads(pickle.dumps(credentials(cfg)))
    assert got.value == "other-secret"
    assert got.headers == {"X-Auth-Token": f"Token {KEY}", "X-Team": "a"}
    assert got.query == {"code": KEY}
    assert set(got.secrets) == {KEY, "other-secret"}
    assert "secret" not in repr(got)
    assert credentials(cfg, got) is got
    assert credentials(cfg, Secret("third")).value == "third"


@pytest.mark.parametrize("value", [None, "a\nb"])
def test_a_variable_that_cannot_be_sent(monkeypatch, value):
    monkeypatch.delenv("MY_TOKEN", raising=False)
    if value:
        monkeypatch.setenv("MY_TOKEN", value)
    with pytest.raises(UserError, match=r"llm\.headers\.X-T: environment variable MY_TOKEN"):
        credentials(LLMConfig(headers={"X-T": "$MY_TOKEN"}))


@pytest.mark.parametrize("name", ["Authorization", "api-key", "X-Api-Key", "X-Auth-Token", "Cookie", "client-secret"])
def test_a_secret_in_the_config_is_refused_unseen(name):
    with pytest.raises(ValidationError) as caught:
        LLMConfig(headers={name: KEY})
    assert "environment variable" in caught.value.errors()[0]["msg"]
    assert KEY not in caught.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    "settings",
    [{"headers": {"bad name": "x"}}, {"headers": {"X": "a\r\nY: b"}}, {"extra_body": {"stream": True}},
     {"extra_body": {"max_tokens": 9}}, {"parameters": {"tools": None}}, {"top_p": 0}, {"auth_header": "a b"}],
)  # fmt: skip
def test_what_no_server_can_be_sent(settings):
    with pytest.raises(ValidationError):
        LLMConfig(**settings)
