"""The command line itself: what its arguments become."""

import errno
from argparse import Namespace
from typing import Any

import pytest

from hydra_ray.bench import fit
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


def test_what_a_disk_refuses_is_one_line_and_other_failures_are_not_hidden(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failure = OSError(errno.ENOSPC, "No space left on device", "runs/x")

    def fails(*_: object) -> None:
        raise failure

    monkeypatch.setattr("hydra_ray.cli._dispatch", fails)
    assert main(["new-key", "t"]) == 2
    assert capsys.readouterr().err == (
        "hydra-ray: error: runs/x: No space left on device; mend that and run the same command again, what is done "
        "stays\n"
    )
    failure = ConnectionResetError(errno.ECONNRESET, "reset")
    with pytest.raises(ConnectionResetError):
        main(["new-key", "t"])
