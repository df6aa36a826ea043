"""What servers say where they do not answer; the wording is that of each provider."""

import json

import pytest

from hydra_ray.llm.http_errors import is_out_of_credit, is_too_long, read_problem, refused_parameter, wants_positive


def problem(message, **fields):
    return read_problem(json.dumps({"error": {"message": message, **fields}}).encode())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"error": {"message": "no\\nway"}}', "no way"),
        ('{"error": "no way"}', "no way"),
        ('{"detail": "no way"}', "no way"),
        ('{"detail": [{"loc": ["body", "seed"], "msg": "no"}]}', '[{"loc": ["body", "seed"], "msg": "no"}]'),
        ('{"object": "error", "message": "no way"}', "no way"),
        ('[{"error": {"message": "no way"}}]', "no way"),
        ('{"type": "error", "error": {"type": "t", "message": "no way"}}', "no way"),
        ('{"error": {"message": "Provider returned error", "metadata": {"raw": "no way"}}}',
         "Provider returned error: no way"),
        ("<html>no way</html>", "<html>no way</html>"),
        ('{"error": {"message": "half \\ud83d"}}', "half \ufffd"),
        ("", "no message"),
        ("null", "null"),
    ],
)  # fmt: skip
def test_the_words_of_every_shape(body, message):
    assert read_problem(body.encode()).message == message


def test_code_kind_and_parameter():
    found = problem("no", code="unsupported_value", type="invalid_request_error", param="temperature")
    assert (found.code, found.kind, found.param) == ("unsupported_value", "invalid_request_error", "temperature")
    assert problem("no", code=None, param=None).names == set()
    assert problem("no", code=1000).code == "1000"


LENGTH = [
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 8545 tokens.",
    "This model's maximum context length is 1536 tokens. However, you requested 16 output tokens and your prompt "
    "contains at least 1521 input tokens, for a total of at least 1537 tokens.",
    "'max_tokens' or 'max_completion_tokens' is too large: 500. This model's maximum context length is 1536 tokens and"
    " your request has 1200 input tokens",
    "The decoder prompt (length 2000) is longer than the maximum model length of 1536.",
    "Input length (2000) exceeds model's maximum context length (1536).",
    "prompt is too long: 213462 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens`"
    " and try again (context limit is the maximum number of tokens allowed)",
    "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).",
    "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
    "Please reduce the length of the messages or completion.",
    "the request exceeds the available context size, try increasing it",
    "Trying to keep the first 5000 tokens when context overflows. However, the model is loaded with context length of"
    " only 4096 tokens, which is not enough; greater than the context length",
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
    "Input is too long for requested model.",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens",
    "too many tokens: 9000",
]


@pytest.mark.parametrize("words", LENGTH)
def test_a_prompt_that_is_too_long(words):
    assert is_too_long(problem(words))


def test_a_length_error_by_its_code():
    assert is_too_long(problem("no", code="context_length_exceeded"))
    assert is_too_long(problem("no", type="request_too_large"))


@pytest.mark.parametrize(
    "words",
    ["bad parameter", "The input was flagged by moderation: harassment", "max_tokens is too large: 9000. This model "
     "supports at most 4096 completion tokens", "seed is not supported", "no such model"],
)  # fmt: skip
def test_what_is_not_about_length(words):
    assert not is_too_long(problem(words))


@pytest.mark.parametrize(
    ("found", "out"),
    [
        (problem("You exceeded your current quota", code="insufficient_quota"), True),
        (problem("You exceeded your current quota, please check your plan and billing details."), True),
        (problem("You exceeded your current quota. Please retry in 27.4s."), False),
        (problem("You exceeded your current quota", details=[{"@type": "RetryInfo", "retryDelay": "27s"}]), False),
        (problem("Your credit balance is too low to access the API."), True),
        (problem("Insufficient Balance"), True),
        (problem("Rate limit reached for requests per min. Please try again in 20s."), False),
        (problem("slow down", code="rate_limit_exceeded"), False),
    ],
)
def test_an_account_that_has_nothing_left(found, out):
    assert is_out_of_credit(found) == out


def test_a_pause_in_the_headers_makes_a_quota_a_rate_limit():
    assert not is_out_of_credit(problem("You exceeded your current quota"), 3.0)


SENT = ["max_tokens", "temperature", "top_p", "n", "seed"]


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (problem("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
                 "instead.", code="unsupported_parameter", param="max_tokens"), "max_tokens"),
        (problem("Unsupported value: 'temperature' does not support 0.16 with this model. Only the default (1) value "
                 "is supported.", code="unsupported_value", param="temperature"), "temperature"),
        (problem("`temperature` is deprecated for this model."), "temperature"),
        (problem("temperature and top_p cannot both be specified for this model. Please use only one."), "top_p"),
        (read_problem(b'{"object": "error", "message": "{\\"detail\\":[{\\"type\\":\\"extra_forbidden\\",\\"loc\\":'
                      b'[\\"body\\",\\"seed\\"],\\"msg\\":\\"Extra inputs are not permitted\\",\\"input\\":123}]}"}'),
         "seed"),
        (read_problem(b'{"detail": [{"type": "extra_forbidden", "loc": ["body", "n"], "msg": "Extra inputs are not '
                      b'permitted"}]}'), "n"),
        (read_problem(b'{"detail": "body -> n\\n  Extra inputs are not permitted (type=extra_forbidden)"}'), "n"),
        (problem("'n' : number must be at most 1"), "n"),
        (problem("n must be 1 when using greedy sampling, got 8."), "n"),
        (problem("n must be between 1 and 4"), "n"),
        (problem("no", param="n"), "n"),
        (problem("Unrecognized request argument supplied: seed"), "seed"),
        (problem("Unknown name \"seed\": Cannot find field."), "seed"),
        (problem("no", code="unknown_parameter", param="extra.seed"), "seed"),
        (problem("Invalid value: temperature must be between 0 and 1"), None),
        (problem("max_tokens is too large: 9000. This model supports at most 4096 completion tokens"), None),
        (problem("bad parameter"), None),
        (problem("The input was flagged by n moderators"), None),
        (problem("tools are not supported"), None),
    ],
)  # fmt: skip
def test_the_parameter_that_is_refused(found, name):
    assert refused_parameter(found, SENT) == name


def test_only_what_was_sent_is_refused():
    assert refused_parameter(problem("seed is not supported"), ["temperature"]) is None


def test_a_temperature_that_must_be_positive():
    words = problem("Input validation error: `temperature` must be strictly positive")
    assert wants_positive(words, "temperature")
    assert refused_parameter(words, SENT) is None
    assert not wants_positive(problem("temperature is not supported"), "temperature")


def test_the_pause_that_is_asked_for():
    assert problem("Rate limit reached. Please try again in 1m30.5s.").pause_s == 90.5
    assert problem("no").pause_s is None
