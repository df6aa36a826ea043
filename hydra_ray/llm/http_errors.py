"""What a server says where it does not answer, in the shapes that servers use, and what it means."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra_ray.llm.durations import seconds_in_words, seconds_of
from hydra_ray.llm.types import without_surrogates

LONGEST_SEARCHED = 2000
"""Characters of a message that are looked through: it may repeat the whole prompt."""


@dataclass(frozen=True, slots=True)
class Problem:
    """message: on one line. code, kind (OpenAI's `type`), param: empty where the server names none.

    pause_s: how long it asks us to wait, in the body or in words.
    """

    message: str
    code: str = ""
    kind: str = ""
    param: str = ""
    pause_s: float | None = None

    @property
    def names(self) -> set[str]:
        """Code and kind, in lower case."""
        return {self.code.lower(), self.kind.lower()} - {""}


def read_problem(data: bytes) -> Problem:
    """The problem that the body of an HTTP error describes; any text is one."""
    text = data.decode(errors="replace")
    try:
        tree = json.loads(text)
    except ValueError:
        return _problem(text, {})
    return problem_of(tree)


def problem_of(tree: Any) -> Problem:
    """The problem in parsed JSON: OpenAI's `{"error": {...}}`, FastAPI's `detail`, a list of them, a bare text."""
    if isinstance(tree, Sequence) and not isinstance(tree, str) and tree:
        tree = tree[0]
    if not isinstance(tree, Mapping):
        return _problem(_text(tree), {})
    error = next((tree[name] for name in ("error", "errors", "detail", "message") if tree.get(name)), tree)
    if isinstance(error, Mapping):
        return _problem(_message(error), {**tree, **error})
    return _problem(_text(error), tree)


def _problem(message: str, fields: Mapping[str, Any]) -> Problem:
    message = " ".join(without_surrogates(message).split()) or "no message"
    details = fields.get("details")
    named = [d.get("retryDelay") for d in details if isinstance(d, Mapping)] if isinstance(details, list) else []
    pauses = [seconds_of(str(pause)) for pause in named if pause]
    return Problem(
        message,
        code=_name(fields.get("code")),
        kind=_name(fields.get("type") or fields.get("status")),
        param=_name(fields.get("param")),
        pause_s=pauses[0] if pauses else seconds_in_words(message[:LONGEST_SEARCHED]),
    )


def _message(error: Mapping[str, Any]) -> str:
    """The words of an error object, with those that a router passes on from the provider behind it."""
    words = next((error[name] for name in ("message", "detail", "msg", "title") if error.get(name)), error)
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    return f"{_text(words)}: {_text(raw)}" if raw else _text(words)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _name(value: Any) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


_TOO_LONG_NAMES = {
    "context_length_exceeded",
    "context_window_exceeded",
    "exceed_context_size_error",
    "request_too_large",
    "string_above_max_length",
    "model_max_prompt_tokens_exceeded",
    "prompt_too_long",
}
_TOO_LONG = re.compile(
    r"(maximum|max|model'?s?) (context|prompt|input|sequence|model) (length|size|window)"
    r"|context_length|(prompt|input|inputs|request|message|messages|conversation|context)\b.{0,40}\btoo (long|large)"
    r"|(exceed\w*|greater than|longer than|larger than|beyond|over|full).{0,60}"
    r"\b(context (length|size|window|limit)|model length|sequence length|token limit|tokens? allowed"
    r"|max(imum)? (number of )?(input )?tokens)"
    r"|context (length|size|window).{0,40}(exceed|full|overflow)"
    r"|too many (input |prompt )?tokens"
    r"|reduce (the )?(length|size) of (the|your) (messages?|prompt|input)"
    r"|tokens.{0,80}must be (<=|≤|less than)",
    re.IGNORECASE,
)


def is_too_long(problem: Problem) -> bool:
    """Whether the prompt does not fit the model; a shorter one may."""
    return bool(problem.names & _TOO_LONG_NAMES or _TOO_LONG.search(problem.message[:LONGEST_SEARCHED]))


_TOO_LARGE = re.compile(r"request too large|tokens must be reduced|requested .{0,40}exceeds? (the|your) limit", re.I)


def is_too_large(problem: Problem) -> bool:
    """Whether a refusal for a rate limit is one that no waiting mends: the prompt alone is above the limit."""
    return _TOO_LARGE.search(problem.message[:LONGEST_SEARCHED]) is not None


_CREDIT_NAMES = {
    "insufficient_quota",
    "insufficient_user_quota",
    "insufficient_balance",
    "insufficient_credits",
    "insufficient_funds",
    "billing_error",
    "billing_hard_limit_reached",
    "billing_not_active",
    "payment_required",
    "account_deactivated",
}
_NO_CREDIT = re.compile(
    r"credit balance is too low|insufficient (account |your )?(balance|credits?|funds|quota)|out of credits"
    r"|(billing hard limit|spending limit|monthly budget) (has been )?reached|account is not active",
    re.IGNORECASE,
)
_QUOTA = re.compile(r"exceeded your current quota", re.IGNORECASE)


def is_out_of_credit(problem: Problem, pause_s: float | None = None) -> bool:
    """Whether the account has nothing left, which no waiting mends. pause_s: what the headers ask us to wait.

    One provider says "exceeded your current quota" for its rate limits too, but then names a pause.
    """
    words = problem.message[:LONGEST_SEARCHED]
    if problem.names & _CREDIT_NAMES or _NO_CREDIT.search(words):
        return True
    return bool(_QUOTA.search(words)) and problem.pause_s is None and pause_s is None


_REFUSED_NAMES = {"unsupported_parameter", "unsupported_value", "unknown_parameter", "extra_forbidden"}
_REFUSED = re.compile(
    r"unsupported|not support|n't support|unrecogni[sz]ed|unknown|unexpected|not permitted|extra_forbidden|not allowed"
    r"|not (yet )?(available|implemented)|deprecated|only the default|does not accept|is not accepted|disallowed"
    r"|additional propert|must be (equal to )?1\b|at most 1\b|(less than|lower than|smaller than) or equal to 1\b"
    r"|only (n ?= ?)?1\b|invalid (parameter|argument|field|key)|no such (parameter|field)|cannot both be"
    r"|must not be (set|given)|greater than 1\b|multiple (choices|completions)",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\bbetween\b|out of range|in the range|[\[(]0(\.0)?, ?[12](\.0)?[\])]", re.IGNORECASE)
"""A value that is wrong by itself: the caller must know."""
DROP_FIRST = ("seed", "n", "top_p", "temperature", "max_completion_tokens", "max_tokens")
"""Of several parameters that one message names, the first of these goes: it changes the answers least."""


def refused_parameter(problem: Problem, sent: Sequence[str]) -> str | None:
    """The parameter, of those sent, that the server does not take as it is; None if this is not the problem."""
    words = problem.message[:LONGEST_SEARCHED]
    if "n" in sent and (problem.param == "n" or _mentions(words, "n")):
        return "n"  # whatever is wrong with it, one text a call is always allowed
    if _RANGE.search(words) or not (problem.names & _REFUSED_NAMES or _REFUSED.search(words)):
        return None
    named = problem.param.rsplit(".", 1)[-1]
    if named in sent:
        return named
    mentioned = [name for name in sent if _mentions(words, name)]
    order = {name: i for i, name in enumerate(DROP_FIRST)}
    return min(mentioned, key=lambda name: order.get(name, len(order)), default=None)


_POSITIVE = re.compile(r"positive|greater than (0|zero)|> ?0\b|non-?zero|not be (0|zero)", re.IGNORECASE)


def wants_positive(problem: Problem, name: str) -> bool:
    """Whether the server takes the parameter, but not 0."""
    words = problem.message[:LONGEST_SEARCHED]
    return _mentions(words, name) and _POSITIVE.search(words) is not None


def _mentions(words: str, name: str) -> bool:
    """A short name like `n` counts only where it is marked as one, a longer one wherever it is a word of its own."""
    quoted = rf"['\"`]{re.escape(name)}['\"`]"
    if len(name) > 2:
        return re.search(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", words) is not None
    after = rf"\b(?:parameter|argument|field|value|key|option|body ->|body\.)\s*:?\s*{name}\b"
    before = rf"(?<![A-Za-z0-9_'’]){name}\s*(?:>|=|<|≤|must|should|is not|cannot|can only|value)"
    return re.search(f"{quoted}|{after}|{before}", words) is not None
