"""A whole job that is submitted from the desk, with an LLM there as well that pauses when a test tells it to."""

import asyncio
import collections
import contextlib
import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hydra_ray.core.hashing import stable_seed
from tests.cluster.machines import Machine
from tests.cluster.ray_nodes import RayNodes
from tests.llm.fake_server import FakeServer, completion, in_thread

CONCURRENCY = 8
LLM_PORT = 8100
"""The address of the LLM is part of what steps are known by."""
SETTINGS = [
    "name=small", "protocol.train_users=6", "protocol.test_users=6", "protocol.pseudo_queries=2",
    "data.synth.users=24", "data.synth.items=[5,7]", "retrieval.top_n=4", "reranker.num_history_queries=2",
    "adapter.num_history_queries=2", "train.epochs=1", "evaluate.bootstrap=200", "evaluate.paper=false",
    "llm.model=m", f"llm.concurrency={CONCURRENCY}", "llm.accept_useless=true", "resources.ask.num_workers=2",
    "resources.ask.num_cpus=1",  # on no head, which has no CPUs
    "resources.few_in_driver=false",
]  # fmt: skip
WAIT_S = 300
END_S = 600


_TAGS = re.compile(r"^Tag: (\w+)$", re.MULTILINE)


def samples(body: dict[str, Any]) -> list[str]:
    """The tags of the prompt's examples in an order that the prompt decides; `amber` without examples."""
    prompt = body["messages"][-1]["content"]
    shown = _TAGS.findall(prompt) or ["amber"]
    return [shown[stable_seed(prompt, i) % len(shown)] for i in range(body.get("n") or 1)]


class Gate:
    """Holds the LLM's answers back from a call on, until it is opened. from_call: counted from 0; None: never."""

    def __init__(self) -> None:
        self.from_call: int | None = None
        self._open = threading.Event()

    async def __call__(self, number: int, body: dict[str, Any]) -> Any:
        while self.from_call is not None and number >= self.from_call and not self._open.is_set():
            await asyncio.sleep(0.02)
        return completion(samples(body))

    def open(self) -> None:
        self._open.set()


class SmallJob:
    """One submitted job. server: the LLM that it asks; root: of its runs; lines: what `submit` has printed."""

    def __init__(self, nodes: RayNodes, server: FakeServer, gate: Gate, root: Path, *more: str) -> None:
        self.server, self.gate, self.root = server, gate, root
        self._nodes = nodes
        command = ["submit", "--address", nodes.dashboard, f"root={root}", f"llm.base_url={server.url}", *SETTINGS]
        pipe = subprocess.PIPE
        self._submit = nodes.hydra_ray(*command, *more, stdout=pipe, stderr=subprocess.STDOUT)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._submit.stdout:  # type: ignore[union-attr]
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def until(self, happened: Callable[[], Any], what: str, seconds: float = WAIT_S) -> Any:
        """What `happened` returns once it is something. Fails when the job ends before, or after so many seconds."""
        end = time.monotonic() + seconds
        while not (found := happened()):
            assert self._submit.poll() is None, f"the job has ended before {what}:\n{self.output}"
            assert time.monotonic() < end, f"no {what}:\n{self.output}"
            time.sleep(0.02)
        return found

    def where_runs(self, title: str, machines: list[Machine], seconds: float = WAIT_S) -> Machine:
        """The first of the machines that runs a process with such a title, once one does."""

        def look() -> Machine | None:
            return next((m for m in machines if any(re.search(title, t) for t in m.titles())), None)

        found: Machine = self.until(look, f"process {title}", seconds)
        return found

    def asking(self, machines: list[Machine]) -> Machine:
        """One of the machines that ask the LLM, once its share of the answers is held back."""
        self.until(lambda: self.server.in_flight >= CONCURRENCY // 2, "calls in flight")
        return self.where_runs(r"ray::MapWorker\(MapBatches\(LLMMapper\)\)\.submit", machines)

    def ended(self, seconds: float = END_S) -> None:
        """Waits for the end, which must be a good one."""
        try:
            code = self._submit.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the job does not end:\n{self.output}") from None
        self._reader.join(10)
        assert code == 0, self.output
        assert "Traceback" not in self.output, self.output

    def stop(self) -> None:
        """Ends it, unless it has ended, so that nothing of it runs besides the next one."""
        found = re.search(r"^submitted (\S+) to", self.output, re.MULTILINE)
        if self._submit.poll() is None and found:
            self._nodes.hydra_ray("jobs", "stop", found[1], "--address", self._nodes.dashboard).wait(60)
            self._submit.wait(60)

    def predictions(self) -> dict[str, str]:
        """See `predictions`."""
        return predictions(self.root)

    def copy_without(self, root: Path, *steps: str, answers: bool) -> Path:
        """A root in which all but the steps of these labels is done; returns it. answers: keep the LLM's."""
        keys = json.loads((self.root / "small" / "steps.json").read_text())
        left_out = ["small", *(keys[step] for step in steps), *(() if answers else ["cache"])]
        shutil.copytree(self.root, root, ignore=shutil.ignore_patterns(*left_out))
        return root

    def calls(self) -> "collections.Counter[str]":
        """See `calls`."""
        return calls(self.server)

    def paid_twice(self) -> int:
        return paid_twice(self.server)


def predictions(root: Path) -> dict[str, str]:
    """Of the job whose runs are in a folder: file name -> text."""
    found = {file.name: file.read_text() for file in (root / "small" / "predictions").glob("*.json")}
    assert found
    return found


def calls(server: FakeServer) -> "collections.Counter[str]":
    """Each call that the LLM got -> how often."""
    return collections.Counter(json.dumps(body, sort_keys=True) for body in server.bodies)


def paid_twice(server: FakeServer) -> int:
    return sum(calls(server).values()) - len(calls(server))


@contextlib.contextmanager
def llm(desk: Machine, from_call: int | None = None) -> Iterator[tuple[FakeServer, Gate]]:
    """An LLM at the desk. from_call: it holds back its answers from there on until the gate is opened."""
    gate = Gate()
    gate.from_call = from_call
    listening = desk.inside(lambda: socket.create_server((desk.address, LLM_PORT)))
    with in_thread(FakeServer(gate), listening) as server:
        try:
            yield server, gate
        finally:
            gate.open()


@contextlib.contextmanager
def submitted(nodes: RayNodes, root: Path, *more: str, from_call: int | None = None) -> Iterator[SmallJob]:
    """The job, just submitted. from_call: see `llm`."""
    with llm(nodes.desk, from_call) as (server, gate):
        job = SmallJob(nodes, server, gate, root, *more)
        try:
            yield job
        finally:
            gate.open()
            job.stop()
