"""The lines of a stage that asks an LLM."""

import pytest

from hydra_ray.llm.progress import WAITS_EVERY_S, WaitLines
from hydra_ray.llm.rate_limits import Wait


def test_a_wait_for_a_rate_limit_is_a_line_at_most_every_so_often(capsys: pytest.CaptureFixture[str]) -> None:
    now, waits = [0.0], [None, Wait(12.34, "llm.requests_per_minute=5"), Wait(1.0, "x"), Wait(3.0, "y")]
    lines = WaitLines("label seed 0", lambda: waits.pop(0), lambda: now[0])
    for now[0] in (0.0, 5.0, 10.0, 5.0 + WAITS_EVERY_S):
        lines._print()
    assert capsys.readouterr().err.splitlines() == [
        "[label seed 0] calls wait for llm.requests_per_minute=5: 12.3 s before the next one",
        "[label seed 0] calls wait for x: 1.0 s before the next one",
    ]
