"""Routes of OpenAI that are not served."""

import openai
import pytest


def test_other_endpoints_name_what_to_use_instead(client):
    for call, instead in (
        (lambda: client.completions.create(model="made-up", prompt="q"), "/v1/chat/completions"),
        (lambda: client.responses.create(model="made-up", input="q"), "/v1/chat/completions"),
        (lambda: client.embeddings.create(model="made-up", input="q"), "an embedding server"),
        (lambda: client.responses.retrieve("r1"), "/v1/chat/completions"),
    ):
        with pytest.raises(openai.NotFoundError, match=instead) as raised:
            call()
        assert raised.value.code == "unsupported_endpoint"
