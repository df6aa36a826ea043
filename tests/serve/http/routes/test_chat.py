"""The real `openai` package against the real server: nothing about it is changed but the address."""

import asyncio
import threading

import openai
import pytest

from hydra_ray.inference.types import (
    DeadlineError,
    LLMDownError,
    OverloadedError,
    RefusedError,
    StageDownError,
    UserKey,
)
from hydra_ray.serve.schemas import NewItem
from tests.serve.http.live import KEYS, TWO_TENANTS, serve, settings, until

QUESTION = [{"role": "user", "content": "which tag?"}]


def test_answers_are_the_users_own(live, client):
    live.service.histories[UserKey("acme", "ann").stored] = {"i1": NewItem(item_id="i1", text="t")}
    answer = client.chat.completions.create(model="made-up", messages=QUESTION, user="ann")
    assert [choice.message.content for choice in answer.choices] == ["i1: which tag? /0"]
    assert (answer.choices[0].finish_reason, answer.model, answer.object) == ("stop", "made-up", "chat.completion")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 2, 9)
    assert answer.hydra["degraded"] == []
    assert answer.hydra["versions"]["run"] == "made-up"


def test_asynchronous_client(live):
    async def ask() -> str:
        async with openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="any") as made:
            answer = await made.chat.completions.create(model="made-up", messages=QUESTION)
            return answer.choices[0].message.content

    assert asyncio.run(ask()) == "nobody: which tag? /0"


@pytest.mark.parametrize(
    ("error", "kind", "status", "retry_after"),
    [
        (OverloadedError(2.5), openai.RateLimitError, 429, "3"),
        (LLMDownError("no connection"), openai.InternalServerError, 503, "5"),
        (StageDownError("history server"), openai.InternalServerError, 503, "1"),
        (DeadlineError(), openai.InternalServerError, 504, None),
        (RefusedError("too long"), openai.BadRequestError, 400, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_services_errors(live, client, error, kind, status, retry_after, stream):
    live.service.error = error
    with pytest.raises(kind) as raised:
        client.chat.completions.create(model="made-up", messages=QUESTION, stream=stream)
    assert raised.value.status_code == status
    assert raised.value.response.headers.get("retry-after") == retry_after
    assert raised.value.body["message"]


def test_the_clients_own_retry_gets_through(live):
    with openai.OpenAI(base_url=f"{live.url}/v1", api_key="any", max_retries=1) as client:
        live.service.error = OverloadedError(0.1)
        until_asked = len(live.service.requests) + 1

        def mend() -> None:
            until(lambda: len(live.service.requests) >= until_asked)
            live.service.error = None

        threading.Thread(target=mend).start()
        assert client.chat.completions.create(model="made-up", messages=QUESTION).choices


def test_keys():
    with serve(settings(TWO_TENANTS)) as running:
        for key in KEYS.values():
            with openai.OpenAI(base_url=f"{running.url}/v1", api_key=key) as client:
                client.chat.completions.create(model="made-up", messages=QUESTION, user="ann")
        assert [user.tenant for user, _, _ in running.service.requests] == list(KEYS)
        with (
            openai.OpenAI(base_url=f"{running.url}/v1", api_key="wrong") as client,
            pytest.raises(openai.AuthenticationError) as raised,
        ):
            client.models.list()
        assert raised.value.code == "invalid_api_key"
