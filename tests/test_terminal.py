import io
import os
import subprocess
import sys

import pytest

from hydra_ray.terminal import use_plain_characters


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
