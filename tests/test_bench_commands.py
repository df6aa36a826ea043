"""Benchmarks from the command line: what each takes, and what it refuses."""

from argparse import Namespace
from importlib import import_module
from typing import Any

import pytest

from hydra_ray.bench import fit
from hydra_ray.bench_commands import BENCHES
from hydra_ray.cli import main


@pytest.mark.parametrize(("given", "meant"), [([], {}), (["--users", "2"], {"users": 2})])
def test_what_a_bench_is_not_given_stays_its_own_default(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], given: list[str], meant: dict[str, int]
) -> None:
    seen: list[dict[str, Any]] = []

    def run(args: Namespace) -> dict[str, float]:
        seen.append(vars(args))
        return {"ratio": 1.0}

    monkeypatch.setattr(fit, "run", run)
    assert main(["bench", "fit", "--json", *given]) == 0
    assert seen == [{"command": "bench", "name": "fit", "json": True, **meant}]
    assert capfd.readouterr().out == '{"ratio": 1.0}\n'


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["heads", "--requests", "5"], "unrecognized arguments: --requests 5"),
        (["fit", "--users", "0"], "argument --users: '0' is no whole number above zero"),
        (["fit", "--users", "some"], "argument --users: 'some' is no whole number above zero"),
        (["speed"], "invalid choice: 'speed'"),
        ([], "the following arguments are required: NAME"),
    ],
)
def test_what_a_bench_does_not_take_is_refused(capsys: pytest.CaptureFixture[str], given: list[str], said: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["bench", *given])
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", BENCHES)
def test_every_bench_that_can_be_named_is_there(name: str) -> None:
    assert callable(import_module(f"hydra_ray.bench.{name.replace('-', '_')}").run)
