"""The command line itself: what its arguments become."""

import errno

import pytest

from hydra_ray.cli import main


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
