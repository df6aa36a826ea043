"""Rate limits in a response's headers."""

import pytest

from hydra_ray.llm.rate_headers import Allowance, Rates, read_rates

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "rates"),
    [
        ({"X-RateLimit-Limit-Requests": "60", "X-RateLimit-Remaining-Requests": "59",
          "X-RateLimit-Reset-Requests": "1s", "X-RateLimit-Limit-Tokens": "150000",
          "X-RateLimit-Remaining-Tokens": "149984", "X-RateLimit-Reset-Tokens": "6m0s"},
         Rates(Allowance(59, 60, 1), Allowance(149984, 150000, 360))),
        ({"anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "0",
          "anthropic-ratelimit-requests-reset": "2023-11-14T22:13:30Z"}, Rates(Allowance(0, 50, 10), None)),
        ({"anthropic-ratelimit-input-tokens-remaining": "10"}, Rates(None, Allowance(10, 10, 60))),
        ({"x-ratelimit-remaining-tokens": "900"}, Rates(None, Allowance(900, 900, 60))),
        ({"x-ratelimit-limit": "10", "x-ratelimit-remaining": "3", "x-ratelimit-reset": "1700000005"},
         Rates(Allowance(3, 10, 5), None)),
        ({"ratelimit-remaining": "3", "ratelimit-reset": "30"}, Rates(Allowance(3, 3, 30), None)),
        ({"x-ratelimit-remaining-requests": "-1"}, None),
        ({"x-ratelimit-limit-requests": "0", "x-ratelimit-remaining-requests": "0"}, None),
        ({"x-ratelimit-remaining-requests": "plenty"}, None),
        ({"Content-Type": "application/json"}, None),
    ],
)  # fmt: skip
def test_what_headers_say(headers, rates):
    assert read_rates(headers, NOW) == rates
