"""The body of an answered call: its texts, how each ended, and the tokens it cost."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hydra_ray.core.prompts import Message
from hydra_ray.llm.http_errors import Problem, problem_of
from hydra_ray.llm.retry import EmptyAnswerError, TransientError
from hydra_ray.llm.types import CachedResponse, Finish, without_surrogates

MESSAGE_TOKENS = 16
"""What a chat format adds to a message at most."""
LARGEST_COUNT = 10**12
"""A token count above this is no count."""

_THOUGHTS = re.compile(r"^\s*<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_END_OF_THOUGHTS = re.compile(r"^.*?</think>", re.DOTALL | re.IGNORECASE)


class Usage(NamedTuple):
    """Tokens of one call."""

    prompt_tokens: int
    completion_tokens: int


class ErrorInAnswerError(Exception):
    """A 200 whose body is an error. status: what its code says in HTTP's numbers, None if it has no such code."""

    def __init__(self, problem: Problem, status: int | None) -> None:
        super().__init__(problem.message)
        self.problem, self.status = problem, status


def most_usage(messages: Sequence[Message], count: int, max_tokens: int) -> Usage:
    """The most tokens a call can take: no tokenizer makes more of a text than it has bytes."""
    prompt = sum(len(m["content"].encode(errors="replace")) + MESSAGE_TOKENS for m in messages)
    return Usage(prompt, count * max_tokens)


def read_answer(data: bytes, count: int, most: Usage) -> CachedResponse:
    """At most `count` texts and the tokens they cost; `most` stands where the server counts none, or nonsense.

    Raises ErrorInAnswerError; EmptyAnswerError where there are no choices; TransientError where this is no answer.
    """
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        raise _unreadable() from None
    if isinstance(tree, list) and tree:
        tree = tree[0]
    if not isinstance(tree, Mapping):
        raise _unreadable()
    choices = tree.get("choices")
    if tree.get("error") and not choices:
        raise error_in_answer(tree)
    if not isinstance(choices, list) or not all(isinstance(choice, Mapping) for choice in choices):
        raise _unreadable()
    if not choices:
        usage = tree.get("usage")
        if not isinstance(usage, Mapping):
            raise EmptyAnswerError
        # Counted, so it is an answer of which nothing is left.
        filtered = tree.get("prompt_filter_results") or tree.get("promptFeedback")
        choices = [{"finish_reason": "content_filter"} if filtered else {}] * count
    choices = sorted(choices, key=_index)[:count]
    broken = next((choice for choice in choices if choice.get("error")), None)
    if broken is not None:
        raise error_in_answer(broken)
    if any(choice.get("finish_reason") == "error" for choice in choices):
        raise ErrorInAnswerError(Problem("the server broke its answer off"), None)
    read = [_read_choice(choice) for choice in choices]
    tokens = read_usage(tree.get("usage"), most)
    record = CachedResponse(texts=[text for text, _ in read], prompt_tokens=tokens[0], completion_tokens=tokens[1])
    if any(finish != "stop" for _, finish in read):
        record["finish"] = [finish for _, finish in read]
    return record


def empty_record(count: int, most: Usage) -> CachedResponse:
    """What is kept of a call that is answered without choices, however often it is made."""
    return CachedResponse(
        texts=[""] * count, prompt_tokens=most[0], completion_tokens=most[1], finish=["empty"] * count
    )


def read_usage(usage: Any, most: Usage) -> Usage:
    """The tokens that a `usage` of any shape counts; `most` stands for what it does not count."""
    if not isinstance(usage, Mapping):
        return most
    prompt = _count(usage, "prompt_tokens")
    if prompt is None and (prompt := _count(usage, "input_tokens")) is not None:
        cached = ("cache_creation_input_tokens", "cache_read_input_tokens")  # not among the input tokens
        prompt += sum(_count(usage, name) or 0 for name in cached)
    completion = _count(usage, "completion_tokens", "output_tokens")
    total = _count(usage, "total_tokens")
    if total is not None:
        if completion is None:
            completion = total - prompt if prompt is not None else min(total, most.completion_tokens)
        if prompt is None:
            prompt = total - completion
    if completion is not None and completion < 0:
        completion = None
    if prompt is not None and prompt < 0:
        prompt = None
    return Usage(
        most.prompt_tokens if prompt is None else prompt,
        most.completion_tokens if completion is None else completion,
    )


def _count(usage: Mapping[str, Any], *names: str) -> int | None:
    """The first of the fields that holds a count."""
    for name in names:
        value = usage.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            continue
        try:
            number = float(value)
        except (ValueError, OverflowError):
            continue
        if 0 <= number <= LARGEST_COUNT:
            return int(number)
    return None


def _read_choice(choice: Mapping[str, Any]) -> tuple[str, Finish]:
    """A choice's text without thoughts, and how it ended."""
    message = choice.get("message")
    fields: Mapping[str, Any] = message if isinstance(message, Mapping) else {}
    reason = choice.get("finish_reason")
    ended = reason if isinstance(reason, str) else ""
    content, thought = _content(fields.get("content"))
    text = without_surrogates(content)
    answer = _THOUGHTS.sub("", text, count=1)
    if answer == text:
        answer = _END_OF_THOUGHTS.sub("", text, count=1)
    thought = thought or answer != text or bool(fields.get("reasoning_content") or fields.get("reasoning"))
    refusal = fields.get("refusal")
    if not answer.strip() and isinstance(refusal, str) and refusal.strip():
        return without_surrogates(refusal), "content_filter"
    if ended == "content_filter":
        return answer, "content_filter"
    if not answer.strip():
        return "", "thinking" if thought else "empty"
    return answer, "length" if ended in {"length", "max_tokens"} else "stop"


def _content(content: Any) -> tuple[str, bool]:
    """The text of a message's content, and whether there are thoughts in it: a string, or a list of typed chunks."""
    if content is None:
        return "", False
    if isinstance(content, str):
        return content, False
    if isinstance(content, list):
        parts = [_content(chunk) if not isinstance(chunk, Mapping) else _chunk(chunk) for chunk in content]
        return "".join(text for text, _ in parts), any(thought for _, thought in parts)
    if isinstance(content, Mapping) and isinstance(content.get("text"), str):
        return _chunk(content)
    return json.dumps(content, ensure_ascii=False), False  # a server that has parsed the model's JSON


def _chunk(chunk: Mapping[str, Any]) -> tuple[str, bool]:
    kind = str(chunk.get("type") or "text")
    if "think" in kind or "reason" in kind:
        return "", True
    text = chunk.get("text")
    if isinstance(text, Mapping):
        text = text.get("value")
    return (text if isinstance(text, str) else ""), False


def _index(choice: Mapping[str, Any]) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0


_STATUS_OF = {
    "rate_limit_exceeded": 429,
    "too_many_requests": 429,
    "overloaded_error": 529,
    "rate_limit_error": 429,
    "context_length_exceeded": 400,
    "invalid_request_error": 400,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "permission_error": 403,
    "content_filter": 403,
    "not_found_error": 404,
    "model_not_found": 404,
}


def error_in_answer(tree: Mapping[str, Any]) -> ErrorInAnswerError:
    """The error that stands where an answer should."""
    problem = problem_of(tree)
    if problem.code.isdecimal() and len(problem.code) == 3 and 400 <= int(problem.code) <= 599:
        return ErrorInAnswerError(problem, int(problem.code))
    return ErrorInAnswerError(problem, next((_STATUS_OF[n] for n in sorted(problem.names) if n in _STATUS_OF), None))


def _unreadable() -> TransientError:
    return TransientError("the answer is not an OpenAI chat completion", maybe_billed=True)
