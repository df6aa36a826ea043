"""The command `refit` for real: a small run, history that grows, a driver that is killed twice; both back ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hydra_ray.config import load_config
from hydra_ray.core.hashing import stable_seed
from hydra_ray.inference.types import UserKey
from hydra_ray.serve.bundle import REPORT, load_run_artifacts
from hydra_ray.serve.state.folders import heads_folder
from hydra_ray.serve.state.init_state import init_state
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.serve.state.update_state import UPDATED
from hydra_ray.store.heads.head_store import HeadStore
from tests.data.files import golds, item, lamp_root, question
from tests.llm.fake_server import FakeServer, completion, in_thread

BASE = "served"
GROWN, SAME = "d200", "d201"
DIES = """
import importlib, os, signal, sys
from hydra_ray.cli import main
module, kind, name = sys.argv[1].rsplit(".", 2)
die = lambda *given, **more: os.kill(os.getpid(), signal.SIGKILL)
setattr(getattr(importlib.import_module(module), kind), name, die)
sys.exit(main(sys.argv[2:]))
"""
IN_THE_FIT = "hydra_ray.store.heads.head_store.HeadStore.publish"
IN_THE_UPDATE = "hydra_ray.serve.state.update_state.StateUpdate.give_heads"

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]


def write_data(folder: Path, more: str = "") -> Path:
    """LaMP 3 of eight training and four test users. more: where it is set, GROWN has two items more, which say it."""

    def reviews(user: str) -> list[dict[str, Any]]:
        return [item(f"{user}-{i}", f"{user} bought thing {i % 3} again", str(1 + i % 5)) for i in range(6)]

    def grown(user: str) -> list[dict[str, Any]]:
        new = [item(f"{user}-new-{i}", f"{user} bought {more} {i}", "5") for i in range(2)]
        return [*reviews(user), *(new if more and user == GROWN else [])]

    train = [question(f"{n}", reviews(f"t{n}"), f"thing {n % 3}", user_id=f"t{n}") for n in range(100, 108)]
    dev = [question(f"{n}", grown(f"d{n}"), f"thing {n % 3}", user_id=f"d{n}") for n in range(200, 204)]
    answers = [golds({q["id"]: str(1 + i % 5) for i, q in enumerate(some)}) for some in (train, dev)]
    return lamp_root(folder, train, answers[0], dev, answers[1])


def stars(_: int, body: dict[str, Any]) -> Any:
    first = stable_seed(json.dumps(body, sort_keys=True))
    return completion([str(1 + (first + i) % 5) for i in range(body.get("n", 1))])


@dataclass
class Nights:
    """A finished run, and the command line that is given every night."""

    root: Path
    cluster: str
    server: FakeServer

    def settings(self, name: str, data: Path) -> list[str]:
        return [
            f"root={self.root / 'runs'}", f"name={name}", "data.source=lamp", "data.task=lamp_3", f"data.root={data}",
            "protocol.pseudo_queries=2", f"llm.base_url={self.server.url}", "llm.model=m", "llm.accept_useless=true",
            "train.epochs=1", "resources.train.num_workers=1", "evaluate.paper=false", "fit.guard=0", "data.buckets=4",
            "retrieval.top_n=4", "reranker.num_history_queries=2", "adapter.num_history_queries=2",
            f"ray.address={self.cluster}",
        ]  # fmt: skip

    def refit(self, data: Path, state: ServiceState, dies: str = "") -> "subprocess.CompletedProcess[str]":
        where = ["--state", str(state.folder), *(["--database", state.database] if state.database else [])]
        words = ["refit", "--base-run", BASE, *where, *self.settings(f"tonight-{data.name}", data)]
        return run([*(["-c", DIES, dies] if dies else ["-m", "hydra_ray.cli"]), *words])

    def steps(self) -> set[str]:
        return {folder.name for folder in (self.root / "runs" / "steps").iterdir()}


def run(words: list[str]) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run([sys.executable, *words], env={**os.environ, "PYTHONPATH": os.getcwd()}, capture_output=True,
                          text=True, timeout=900, check=False)  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def nights(cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    root = tmp_path_factory.mktemp("nights")
    with in_thread(FakeServer(stars)) as server:
        made = Nights(root, cluster, server)
        settings = made.settings(BASE, write_data(root / "data"))
        done = run(["-m", "hydra_ray.cli", "fit-users", *settings])
        assert done.returncode == 0, done.stderr
        # What a whole run has besides; no question is asked for it.
        report = json.dumps({"config": load_config(None, settings).model_dump(mode="json")})
        (root / "runs" / BASE / REPORT).write_text(report)
        yield made


def test_a_night_that_is_killed_twice_goes_on_and_the_next_one_has_nothing_to_do(
    nights: Nights, state: ServiceState
) -> None:
    bundle = load_run_artifacts(nights.root / "runs" / BASE)
    init_state(bundle, state, "me", lambda line: None)
    store = state.open_users()  # as a service has it, all the time
    calls, steps = len(nights.server.bodies), nights.steps()
    done = nights.refit(nights.root / "data", state)
    assert (done.returncode, done.stdout.count("\n")) == (0, 1), done.stderr
    assert done.stdout.startswith("refit: no new history")
    assert (len(nights.server.bodies), nights.steps()) == (calls, steps)

    word = "files" if state.database is None else "tables"
    data = write_data(nights.root / word, word)
    before = {user: store.history(UserKey("me", user)) for user in (GROWN, SAME)}
    assert nights.refit(data, state, IN_THE_FIT).returncode == -signal.SIGKILL
    assert {user: store.history(UserKey("me", user)) for user in (GROWN, SAME)} == before
    assert any(name.startswith("fit-reranker") and name.endswith(".partial") for name in nights.steps())
    assert nights.refit(data, state, IN_THE_UPDATE).returncode == -signal.SIGKILL
    assert not (state.folder / UPDATED).exists()
    calls = len(nights.server.bodies)
    done = nights.refit(data, state)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "refit: 1 users fitted anew, 0 items added, heads of 12 users are those of tonight" in done.stdout
    assert len(nights.server.bodies) == calls, "what was paid for is not asked again"

    found = store.history(UserKey("me", GROWN))
    assert found is not None
    assert [some.item_id for some in found[1]][-2:] == [f"{GROWN}-new-0", f"{GROWN}-new-1"]
    assert found[0].fit == "done"
    assert found[0].fitted_revision == found[0].revision
    same = store.history(UserKey("me", SAME))
    assert same is not None
    assert before[SAME] is not None
    assert same[1] == before[SAME][1]
    served = HeadStore.open(str(heads_folder(state.folder, "adapter")))
    steps_of_night = json.loads((nights.root / "runs" / f"tonight-{word}" / "steps.json").read_text())
    fitted = HeadStore.open(str(nights.root / "runs" / "steps" / steps_of_night["fit-adapter seed 0"] / "heads"))
    have, arrays = served.get([UserKey("me", GROWN).stored])
    then, wanted = fitted.get([GROWN])
    assert list(have) == list(then)
    assert all((arrays[name] == wanted[name]).all() for name in wanted)

    calls, steps = len(nights.server.bodies), nights.steps()
    version = served.version
    done = nights.refit(data, state)
    assert (done.returncode, done.stdout.count("\n")) == (0, 1), done.stderr
    assert done.stdout.startswith("refit: no new history")
    assert (len(nights.server.bodies), nights.steps()) == (calls, steps)
    assert HeadStore.open(str(heads_folder(state.folder, "adapter"))).version == version
    assert store.history(UserKey("me", GROWN)) == found
    store.close()
