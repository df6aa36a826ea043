"""Where a request may name its user."""

import httpx
import openai
import pytest

from hydra_ray.inference.types import (
    UserKey,
)
from tests.serve.http.live import serve, settings

QUESTION = [{"role": "user", "content": "which tag?"}]


def test_the_user_may_stand_in_the_models_name_or_in_safety_identifier(live, client):
    def asked(model: str = "made-up", **more: str) -> str | None:
        client.chat.completions.create(model=model, messages=QUESTION, **more)
        user = live.service.requests[-1][0]
        return user and user.user_id

    assert asked("made-up@ann") == "ann"
    assert asked("made-up@a@b.org") == "a@b.org"
    assert asked("made-up@bob:plain") == "bob:plain"
    assert asked(safety_identifier="ann") == "ann"
    assert asked(user="bob", safety_identifier="ann") == "bob"
    assert asked("made-up@ann", user="ann") == "ann"
    assert asked(safety_identifier="no\nid") is None
    with pytest.raises(openai.BadRequestError, match="name one user") as raised:
        asked("made-up@ann", user="bob")
    assert raised.value.param == "user"
    for model in ("made-up@", "made-up@.."):
        with pytest.raises(openai.BadRequestError) as raised:
            asked(model)
        assert raised.value.param == "model"


def test_a_header_names_the_user_only_where_it_is_trusted(live, client):
    header = {"X-OpenWebUI-User-Id": "ann"}
    asked = {"model": "made-up", "messages": QUESTION, "extra_headers": header}
    client.chat.completions.create(**asked)
    assert live.service.requests[-1][0] is None
    with (
        serve(settings(user_header="X-OpenWebUI-User-Id")) as running,
        openai.OpenAI(base_url=f"{running.url}/v1", api_key="any", max_retries=0) as trusting,
    ):
        trusting.chat.completions.create(**asked)
        assert running.service.requests[-1][0] == UserKey("acme", "ann")
        answer = httpx.post(f"{running.url}/v1/personalize", json={"query": "q"}, headers=header)
        assert answer.json()["trace"]["user_id"] == "ann"
        with pytest.raises(openai.BadRequestError, match="X-OpenWebUI-User-Id says 'ann'"):
            trusting.chat.completions.create(**asked, user="bob")
        with pytest.raises(openai.BadRequestError) as raised:
            trusting.chat.completions.create(**{**asked, "extra_headers": {"X-OpenWebUI-User-Id": "x" * 300}})
        assert raised.value.param == "X-OpenWebUI-User-Id"
