"""The lines of a stage that asks an LLM."""

import pytest

from hydra_ray.llm.progress import WAITS_EVERY_S, WaitLines, line
from hydra_ray.llm.rate_limits import Wait


def test_what_was_asked_for_again_is_not_counted_above_the_total() -> None:
    assert line("label seed 0", 60, 120, 30.0) == "[label seed 0] 60/120  2.0/s  ETA 30 s"
    assert line("label seed 0", 131, 120, 40.0) == "[label seed 0] 120/120  3.0/s  ETA 0 s"


def test_a_wait_for_a_rate_limit_is_a_line_at_most_every_so_often(capsys: pytest.CaptureFixture[str]) -> None:
    now, waits = [0.0], [None, Wait(12.34, "llm.requests_per_minute=5"), Wait(1.0, "x"), Wait(3.0, "y")]
    lines = WaitLines("label seed 0", lambda: waits.pop(0), lambda: now[0])
    for now[0] in (0.0, 5.0, 10.0, 5.0 + WAITS_EVERY_S):
        lines._print()
    assert capsys.readouterr().err.splitlines() == [
        "[label seed 0] calls wait for llm.requests_per_minute=5: 12.3 s before the next one",
        "[label seed 0] calls wait for x: 1.0 s before the next one",
    ]
