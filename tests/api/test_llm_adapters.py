"""What `llm=` takes, and what each kind of it is asked."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from hydra_ray.api.llm_adapters import as_llm
from hydra_ray.config import Config, LLMConfig
from hydra_ray.core.prompts import Message
from hydra_ray.errors import UserError
from hydra_ray.inference.types import LLMResponse
from hydra_ray.llm.types import Request
from hydra_ray.serve.clients.llm import LLMClientAdapter

PROMPT: tuple[Message, ...] = ({"role": "user", "content": "what now"},)


def config(**changes: Any) -> LLMConfig:
    return Config.model_validate({"llm": changes}).llm


def ask(llm: object, n: int = 2, settings: LLMConfig | None = None, **more: Any) -> LLMResponse:
    request = Request(PROMPT, 0.5, n, 9, 3)
    asked = as_llm(llm, settings or config()).sample(request, deadline=float("inf"), **more)
    return asyncio.run(asked)  # type: ignore[arg-type]


def test_a_function_sees_the_prompt_and_how_to_sample() -> None:
    seen: list[object] = []

    def function(messages: list[dict[str, str]], n: int, temperature: float, max_tokens: int) -> list[str]:
        seen.extend([messages, n, temperature, max_tokens])
        return ["a", "b"]

    assert ask(function, settings=config(system_prompt="be brief")).texts == ("a", "b")
    system = {"role": "system", "content": "be brief"}
    assert seen == [[system, {"role": "user", "content": "what now"}], 2, 0.5, 9]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (["a"], "returned 1 texts where n=2 were asked for"),
        (["a", "b", "c"], "returned 3 texts where n=2"),
        ("ab", "returned a str; return a list of 2 texts"),
        (None, "returned a NoneType; return a list of 2 texts"),
        (["a", None], "returned a NoneType among its texts"),
    ],
)
def test_a_function_must_return_as_many_texts_as_were_asked_for(returned: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ask(lambda *given: returned)


def test_a_functions_own_error_is_not_hidden() -> None:
    def broken(*given: object) -> list[str]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask(broken)


def test_a_plain_function_is_called_once_at_a_time_an_async_one_as_often_as_asked() -> None:
    async def at_once(function: Any) -> int:
        llm = as_llm(function, config())
        calls = [llm.sample(Request(PROMPT), deadline=float("inf")) for _ in range(3)]
        await asyncio.gather(*calls)
        return most

    running = most = 0

    def plain(*given: object) -> list[str]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        running -= 1
        return ["a"]

    assert asyncio.run(at_once(plain)) == 1
    most = 0
    waiting: list[asyncio.Event] = []

    async def gathered(*given: object) -> list[str]:
        nonlocal most
        waiting.append(asyncio.Event())
        most = max(most, len(waiting))
        if len(waiting) == 3:
            for event in waiting:
                event.set()
        await waiting[-1].wait()
        return ["a"]

    assert asyncio.run(at_once(gathered)) == 3


def client(replies: list[list[str]], seen: list[dict[str, Any]], later: bool = False) -> Any:
    """Like `openai.OpenAI`; answers with the replies in turn."""

    def create(**request: Any) -> Any:
        seen.append(json.loads(json.dumps(request)))
        choices = [
            SimpleNamespace(message=SimpleNamespace(content=text), finish_reason="length" if text == "cut" else "stop")
            for text in replies.pop(0)
        ]
        return SimpleNamespace(choices=choices, usage=SimpleNamespace(prompt_tokens=5, completion_tokens=len(choices)))

    async def create_later(**request: Any) -> Any:
        return create(**request)

    return SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=create_later if later else create)))


@pytest.mark.parametrize("later", [False, True])
def test_a_client_is_asked_until_there_are_enough(later: bool) -> None:
    seen: list[dict[str, Any]] = []
    made = ask(client([["a", "cut"], ["b"]], seen, later), n=3, settings=config(model="m", top_p=0.9))
    assert made == LLMResponse(("a", "cut", "b"), 10, 3, cut=frozenset({1}))
    assert [request["n"] for request in seen] == [3, 1]
    expected = {"model": "m", "temperature": 0.5, "max_tokens": 9, "seed": 3, "top_p": 0.9}
    assert {name: seen[0][name] for name in expected} == expected


def test_a_clients_parameters_are_named_as_the_run_names_them() -> None:
    seen: list[dict[str, Any]] = []
    names = {"max_tokens": "max_completion_tokens", "temperature": None}
    ask(client([["a"]], seen), n=1, settings=config(parameters=names))
    assert seen[0]["max_completion_tokens"] == 9
    assert not {"max_tokens", "temperature"} & set(seen[0])


def test_a_client_without_choices() -> None:
    with pytest.raises(UserError, match="holds no choices"):
        ask(client([[]], []))


def test_a_url_and_the_runs_own_address() -> None:
    assert isinstance(as_llm("http://localhost:8000/v1", config()), LLMClientAdapter)
    assert isinstance(as_llm(None, config(base_url="http://localhost:8000/v1")), LLMClientAdapter)


@pytest.mark.parametrize(
    ("llm", "settings", "message"),
    [
        ("localhost:8000", {}, "'localhost:8000' is no URL; give the base URL"),
        (7, {}, "a int cannot be asked; give the base URL"),
        (
            None,
            {"serve": {"source": "Qwen/Qwen3-8B"}},
            "the run's LLM is Qwen/Qwen3-8B, which vLLM serves for a run; giv",
        ),
    ],
)
def test_nothing_that_can_be_asked(llm: object, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        as_llm(llm, config(**settings))
