"""The child process that vLLM's server runs in, with a small server in vLLM's place."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from hydra_ray.llm.vllm_process import VllmProcess, failure, flags
from hydra_ray.utils.network import free_port

FAILS = r"""
import sys
print("(APIServer pid=7) INFO 11-28 12:00:00 [launcher.py:40] starting")
print("(EngineCore pid=8) ERROR 11-28 12:00:01 [core.py:1006] Traceback (most recent call last):")
print("(EngineCore pid=8) ERROR 11-28 12:00:01 [core.py:1006]   File \"a.py\", line 1, in f")
print("(EngineCore pid=8) ERROR 11-28 12:00:01 [core.py:1006] ValueError: the window is too long: 9 > 8")
print("(APIServer pid=7) Traceback (most recent call last):")
print("(APIServer pid=7) RuntimeError: Engine core initialization failed. See root cause above.")
sys.exit(3)
"""


def until_it_answers(server: VllmProcess) -> None:
    while not server.answers():
        server.check()


def address(port: int) -> list[str]:
    return ["--host", "127.0.0.1", "--port", str(port)]


def test_arguments_are_written_as_flags() -> None:
    found = flags({"max_model_len": 512, "enforce_eager": True, "enable_chunked_prefill": False, "dtype": "float32"})
    assert found == ["--max-model-len", "512", "--enforce-eager", "--no-enable-chunked-prefill", "--dtype", "float32"]


def test_it_answers_until_it_is_stopped_with_all_its_processes(
    stands_for_vllm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    server = VllmProcess(address(port), f"http://127.0.0.1:{port}", 3)
    until_it_answers(server)
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children()]
    assert len(family) == 2
    assert [process.environ()["OMP_NUM_THREADS"] for process in family] == ["3", "3"]
    server.check()
    server.stop()
    server.stop()
    assert not server.answers()
    with pytest.raises(RuntimeError, match=r"vLLM has ended \(exit code 4\): leaving"):
        server.check()  # which ends what the server left behind
    assert capsys.readouterr().err == f"engine {family[1].pid}\n"
    _, alive = psutil.wait_procs(family, 30)
    assert not alive


def test_a_failure_is_named_by_its_cause(stands_for_vllm: Path) -> None:
    stands_for_vllm.write_text(FAILS)
    server = VllmProcess([], "http://127.0.0.1:1", 1)
    server._process.wait(30)
    with pytest.raises(RuntimeError) as raised:
        server.check()
    assert str(raised.value) == "vLLM has ended (exit code 3): ValueError: the window is too long: 9 > 8"
    assert failure([]) == ""
    assert failure(["(APIServer pid=7) OSError: [Errno 98] Address in use"]) == "OSError: [Errno 98] Address in use"


@pytest.mark.parametrize("server_first", [False, True])
def test_it_ends_with_a_process_that_is_killed(stands_for_vllm: Path, server_first: bool) -> None:
    port = free_port()
    code = (
        "import sys; from hydra_ray.llm.vllm_process import VllmProcess\n"
        f"server = VllmProcess({address(port)!r}, 'http://127.0.0.1:{port}', 1)\n"
        "while not server.answers(): server.check()\n"
        "print(server.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        family = [child, *child.children()]
        if server_first:  # as by a node that stops
            child.kill()
        parent.kill()
    _, alive = psutil.wait_procs(family, 30)
    assert len(family) == 2
    assert not alive
