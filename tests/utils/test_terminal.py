import io
import os
import pty
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hydra_ray import cli
from hydra_ray.utils.terminal import on_hangup, on_terminate, sigterm_kept, use_plain_characters


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("ascii", "accuracy ^ 1-2 ~ ? ?"), ("latin-1", "accuracy ^ 1-2 ± ? ?"), ("utf-8", "accuracy ↑ 1−2 ± 语 ?")],
)
def test_what_a_terminal_lacks_is_replaced(monkeypatch: pytest.MonkeyPatch, encoding: str, shown: str) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding=encoding, errors="strict"))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict"))
    use_plain_characters()
    print("accuracy ↑ 1−2 ± 语 \ud83d", end="", flush=True)
    assert out.getvalue().decode(encoding) == shown


def test_a_reader_that_has_gone_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "hydra_ray.cli", "run", "--print-config"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.fixture
def hangup() -> Iterator[None]:
    """Puts back what the signals did."""
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM)}
    for number in before:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGHUP, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_once_and_as_an_interrupt_does(
    hangup: None, number: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ends: list[str] = []

    def command(args: object) -> int:
        try:
            os.kill(os.getpid(), number)
            ends.append("not reached")
        finally:
            os.kill(os.getpid(), number)  # the shell's own, while everything is taken down
            ends.append("taken down")
        return 0

    monkeypatch.setattr(cli, "_dispatch", command)
    assert cli.main(["new-key", "acme"]) == code
    assert ends == ["taken down"]
    assert "interrupted" in capsys.readouterr().err


def test_what_sigterm_does_is_kept(hangup: None) -> None:
    ends: list[str] = []
    on_terminate(lambda: ends.append("ended"))
    with sigterm_kept():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)
    assert ends == ["ended"]


def test_nohup_goes_on(hangup: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    on_hangup(lambda: pytest.fail("it is ignored"))
    os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_a_closed_terminal_is_no_error() -> None:
    """In a process of its own, whose terminal is closed while it works: it cleans up, and prints into nothing."""
    code = (
        "import fcntl, os, signal, sys, termios, time\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # ignored where the tests run under nohup
        "os.setsid()\n"
        "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        "from hydra_ray.utils.terminal import on_hangup\n"
        "def end(): raise KeyboardInterrupt\n"
        "on_hangup(end)\n"
        "try:\n"
        "    print('here', flush=True)\n"
        "    while True: time.sleep(0.01)\n"
        "except KeyboardInterrupt:\n"
        "    print('on the closed terminal', flush=True)\n"
        "    open(sys.argv[1], 'w').write('cleaned up')\n"
    )
    master, slave = pty.openpty()
    with tempfile.TemporaryDirectory() as folder:
        done = Path(folder) / "done"
        command = [sys.executable, "-c", code, str(done)]
        process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        shown = b""
        while not shown.endswith(b"\n"):  # closed before that, the terminal would fail the process's own writing
            shown += os.read(master, 100)
        os.close(master)
        assert process.wait(20) == 0
        assert done.read_text() == "cleaned up"
