from types import SimpleNamespace
from typing import Any

import pytest

from hydra_ray.bench import serve_overload
from hydra_ray.bench.serve_load import Load, Seen


def test_goodput_under_three_times_the_load_against_the_loops_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that gives 10 answers a second, 9 under overload, and refuses the rest."""
    opened: list[Load] = []

    def made(load: Load) -> Seen:
        if load.mode == "closed":
            rate = 10 if load.clients == 16 else 5
            return Seen(status=[200] * int(rate * load.seconds), wall_ms=[7.0] * int(rate * load.seconds),
                        seconds=load.seconds)  # fmt: skip
        opened.append(load)
        answered, refused = int(9 * load.seconds), int(21 * load.seconds)
        return Seen(status=[200] * answered + [429] * refused, wall_ms=[100.0] * answered + [2.0] * refused,
                    retry_after=refused, seconds=load.seconds)  # fmt: skip

    monkeypatch.setattr(serve_overload, "run_load", made)
    site: Any = SimpleNamespace(ours=SimpleNamespace(url="http://here"), users=5, seconds=60.0)
    found = serve_overload.overload(site)
    assert [load.rate for load in opened] == [30.0] * 3
    assert (found["ratio"], found["lowest_over_highest"]) == (0.9, 0.9)
    assert found["offered_per_s"] == 30.0
    assert (found["refused_share"], found["statuses_5xx"]) == (0.7, 0)
    assert found["refused"] == found["refused_with_retry_after"] == 3 * 21 * 60
    assert (found["answered_ms"]["p50"], found["refused_ms"]["p99"]) == (100.0, 2.0)
