"""Keys with limits, and a clock that is set."""

import pytest

from hydra_ray.serve.http.errors import ApiError
from hydra_ray.serve.http.key_limits import KeyLimits
from hydra_ray.serve.http.keys import Key

NOON = 1_814_356_800.0  # 2027-06-30 12:00 UTC


CI = Key("acme", b"\x01" * 32, "ci", requests=3, tokens=100)


FREE = Key("acme", b"\x02" * 32)


class Clock:
    def __init__(self) -> None:
        self.now = NOON + 10

    def __call__(self) -> float:
        return self.now


def refused(limits: KeyLimits, key: Key = CI) -> ApiError:
    with pytest.raises(ApiError) as raised:
        limits.admit(key)
    assert raised.value.status == 429
    assert raised.value.code == "rate_limit_exceeded"
    return raised.value
