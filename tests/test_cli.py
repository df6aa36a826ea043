"""The command line itself: what its arguments become."""

from argparse import Namespace
from typing import Any

import pytest

from hydra_ray.bench import fit
from hydra_ray.cli import main


@pytest.mark.parametrize(("said", "meant"), [([], {}), (["--users", "2"], {"users": 2})])
def test_what_a_bench_is_not_told_stays_its_own_default(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], said: list[str], meant: dict[str, int]
) -> None:
    seen: list[dict[str, Any]] = []

    def run(args: Namespace) -> dict[str, float]:
        seen.append(vars(args))
        return {"ratio": 1.0}

    monkeypatch.setattr(fit, "run", run)
    assert main(["bench", "fit", "--json", *said]) == 0
    assert seen == [{"command": "bench", "name": "fit", "json": True, **meant}]
    assert capfd.readouterr().out == '{"ratio": 1.0}\n'
