"""What a key was used for."""

import httpx

from hydra_ray.serve.http import key_limits
from tests.serve.http.live import SECRETS, get, until


def test_limits_of_a_key_and_what_it_was_used_for(kept, monkeypatch):
    live, _ = kept
    monkeypatch.setattr(key_limits, "MINUTE_S", 10**10)  # it does not end meanwhile
    for left in ("1", "0"):
        answer = get(live, "/v1/users", "few")
        assert answer.headers["x-ratelimit-remaining-requests"] == left
    refused = get(live, "/v1/users", "few")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(refused.headers["retry-after"]) >= 1
    asked = httpx.post(
        f"{live.url}/v1/personalize", json={"query": "q"}, headers={"Authorization": f"Bearer {SECRETS['plain']}"}
    )
    assert asked.status_code == 200
    assert "x-ratelimit-limit-requests" not in asked.headers

    def used():
        days = get(live, "/v1/usage", "plain").json()["data"]
        return {day["key"]: day for day in days}

    until(lambda: {"few"} < set(used()) and max(day["tokens"] for day in used().values()) > 0)
    found = used()
    assert (found["few"]["requests"], found["few"]["refused"], found["few"]["tokens"]) == (2, 1, 0)
    (other,) = [day for name, day in found.items() if name != "few" and day["tokens"]]
    assert other["tokens"] == 7 + 2  # the prompt's and the answer's
