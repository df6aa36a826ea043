"""Whole runs through the command line: over odd records and answers, killed and continued, with a bad black box."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hydra_ray.core.hashing import stable_seed
from hydra_ray.pipeline.llm_rows import buckets_of, read_rows
from hydra_ray.pipeline.stage_rows import LabelRow
from tests.data.files import golds, item, lamp_root, question
from tests.llm.fake_server import FakeServer, completion, error, in_thread

NAME = "hostile"
CONCURRENCY = 8
LONG = "word " * 4000


def reviews(user: str, count: int) -> list[dict[str, Any]]:
    return [item(f"{user}-{i}", f"{user} bought thing {i % 3} again", str(1 + i % 5)) for i in range(count)]


def hostile_data(root: Path) -> Path:
    train = [question(f"{n}", reviews(f"t{n}", 6), f"thing {n % 3}", user_id=f"t{n}") for n in range(100, 108)]
    dev = [question(f"{n}", reviews(f"d{n}", 6), f"thing {n % 3}", user_id=f"d{n}") for n in range(200, 204)]
    dev.append(question("210", [], "nothing known about me", user_id="empty"))
    dev.append(question("211", reviews("long", 5), LONG, user_id="long"))
    odd = [item("o-0", LONG, "3"), item("o-1", score=None), item("o-2", date="never"), *reviews("odd", 3)]
    dev.append(question("212", odd, "thing 1", user_id="odd"))
    return lamp_root(
        root,
        train,
        golds({q["id"]: str(1 + i % 5) for i, q in enumerate(train)}),
        dev,
        golds({q["id"]: str(1 + i % 5) for i, q in enumerate(dev)}),
    )


def without_key() -> dict[str, str]:
    """The environment of a user who has no API key."""
    return {name: value for name, value in os.environ.items() if name != "HYDRA_RAY_LLM_API_KEY"}


def command(cluster: str, stage: str, root: Path, url: str, *more: str) -> list[str]:
    """The command line of a run in `root`, on the cluster, over what `hostile_data` has written there."""
    return [
        sys.executable, "-m", "hydra_ray.cli", stage, f"root={root / 'runs'}", f"name={NAME}",
        "data.source=lamp", "data.task=lamp_3", f"data.root={root / 'data'}", "protocol.pseudo_queries=2",
        f"llm.base_url={url}", "llm.model=m", f"llm.concurrency={CONCURRENCY}", "llm.retries=1",
        "llm.retry_backoff_s=0.01", "llm.accept_useless=true", "reranker.features=score_and_recency",
        "train.epochs=1", "resources.train.num_workers=1", "evaluate.bootstrap=100", "evaluate.paper=false",
        f"ray.address={cluster}", *more,
    ]  # fmt: skip


def hydra_ray(cluster: str, stage: str, root: Path, url: str, *more: str) -> "subprocess.CompletedProcess[str]":
    """Runs the command as a user would; whatever happens, without a traceback."""
    done = subprocess.run(
        command(cluster, stage, root, url, *more),
        env=without_key(), capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def odd_answers(_: int, body: dict[str, Any]) -> Any:
    """Nothing, no number, a number in words and plain numbers, in turn; the same for the same call."""
    texts = ["", "I would rather not say", "Score: 4", "2"]
    first = stable_seed(json.dumps(body, sort_keys=True))
    return completion([texts[(first + i) % 4] for i in range(body.get("n", 1))])


@dataclass
class Whole:
    """A whole run over odd records and odd answers. root: of its folders; calls: made for it; swept: a sweep over its
    data and over a folder that is not there."""

    root: Path
    calls: int
    swept: "subprocess.CompletedProcess[str] | None" = None

    @property
    def run(self) -> Path:
        return self.root / "runs" / NAME

    def labels(self) -> list[str]:
        """What labelling wrote, in order."""
        steps = json.loads((self.run / "steps.json").read_text())
        folder = self.root / "runs" / "steps" / steps["label seed 0"]
        queries = [[row.query for row in user.rows] for user in read_rows(LabelRow, folder, buckets_of(folder))]
        return [json.dumps([of[0].user_id, [(q.query_id, q.candidates, q.answers) for q in of]]) for of in queries]

    def predictions(self) -> dict[str, str]:
        found = {file.name: file.read_text() for file in (self.run / "predictions").glob("*.json")}
        assert found
        return found


@pytest.fixture(scope="module")
def whole(cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Run once for the tests that look at it."""
    root = tmp_path_factory.mktemp("whole")
    hostile_data(root / "data")
    with in_thread(FakeServer(odd_answers)) as server:
        done = hydra_ray(cluster, "run", root, server.url)
        assert done.returncode == 0, done.stderr
        calls = len(server.bodies)
        again = hydra_ray(cluster, "compare", root, server.url, "--methods", "bm25_k4,pag_k0,hydra_shared,hydra")
        assert again.returncode == 0, again.stderr
        assert "this run: 0 LLM calls" in again.stdout
        swept = sweep(cluster, root, server.url)
        assert len(server.bodies) == calls
    return Whole(root, calls, swept)


def sweep(cluster: str, root: Path, url: str) -> "subprocess.CompletedProcess[str]":
    """Sweeps over a folder that is not there and the run's data."""
    (root / "none.yaml").write_text("")
    words = [word for word in command(cluster, "sweep", root, url) if not word.startswith("data.root=")]
    place = words.index("sweep") + 1
    return subprocess.run(
        [*words[:place], str(root / "none.yaml"), *words[place:], f"data.root={root / 'gone'},{root / 'data'}"],
        env=without_key(), capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_a_whole_run_over_odd_records_and_odd_answers(whole: Whole) -> None:
    report = json.loads((whole.run / "report.json").read_text())
    assert report["users"] == {"train": 8, "test": 7}
    assert report["users_without_history"] == 1
    assert report["rejects"]["missing_answer"] == 1
    assert report["warnings"]["malformed_date"] == 1
    assert report["truncated"]["clipped_texts"] > 0
    assert report["truncated"]["question_cut"] > 0
    assert report["answers"]["zero_shot"]["empty"] + report["answers"]["zero_shot"]["no_label"] > 0
    assert set(report["llm_by_stage"]) == {"label", "generate", "summarise", "evaluate"}
    assert sum(used["calls"] for used in report["llm_by_stage"].values()) == report["llm"]["calls"] == whole.calls
    predicted = json.loads(next((whole.run / "predictions").glob("hydra*.json")).read_text())
    assert {gold["id"] for gold in predicted["golds"]} == {"200", "201", "202", "203", "210", "211", "212"}


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_a_comparison_charges_each_method_for_what_it_reads(whole: Whole) -> None:
    comparison = json.loads((whole.run / "compare" / "compare.json").read_text())
    costs = {name: method["costs"] for name, method in comparison["methods"].items()}
    assert list(costs) == ["bm25_k4", "pag_k0", "hydra_shared", "hydra"]
    # One of the seven users has no history to summarise.
    assert [7 * costs[name]["answer"]["calls"] for name in costs] == pytest.approx([7, 13, 7, 7])
    paid = json.loads((whole.run / "report.json").read_text())["llm_by_stage"]
    prepared = costs["hydra"]["training"]["calls"] + 7 * costs["hydra"]["new_user"]["calls"]
    assert prepared == pytest.approx(paid["label"]["calls"] + paid["generate"]["calls"])
    assert costs["hydra_shared"]["training"] == costs["hydra"]["training"]
    assert costs["hydra_shared"]["new_user"]["calls"] == costs["hydra_shared"]["parameters"] == 0
    assert costs["hydra"]["parameters"] > 0
    assert costs["bm25_k4"]["training"]["calls"] == costs["bm25_k4"]["seconds"] == 0
    assert costs["bm25_k4"]["answer"]["unknown"] == 0 < costs["bm25_k4"]["answer"]["prompt_tokens"]
    assert {file.name for file in (whole.run / "compare").iterdir()} >= {"compare.md", "compare.html", "compare.svg"}


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_a_sweep_takes_finished_steps_and_goes_on_after_a_value_that_fails(whole: Whole) -> None:
    assert whole.swept is not None
    assert whole.swept.returncode == 2, whole.swept.stderr
    assert f"sweep: data.root={whole.root / 'gone'} failed: " in whole.swept.stderr
    assert "Traceback" not in whole.swept.stderr
    made = json.loads((whole.root / "runs" / "sweeps" / f"{NAME}-data.root" / "sweep.json").read_text())
    assert [bool(point["failed"]) for point in made["points"]] == [True, False]
    report = json.loads((whole.run / "report.json").read_text())
    assert made["points"][1]["methods"]["hydra"]["value"] == report["methods"]["hydra"]["mae"]


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_folds_share_one_labelling_and_train_on_no_row_of_their_own_users(cluster: str, whole: Whole) -> None:
    """Two folds of the fifteen users of both splits."""
    with in_thread(FakeServer(odd_answers)) as server:
        more = ["name=folds", "protocol.folds=2"]
        done = hydra_ray(cluster, "train-reranker", whole.root, server.url, *more)
    assert done.returncode == 0, done.stderr
    steps = json.loads((whole.root / "runs" / "folds" / "steps.json").read_text())
    shared, trained = ["encode-reranker seed 0", "ingest", "label seed 0"], "train-reranker seed 0 fold"
    assert sorted(steps) == [*shared, f"{trained} 0", f"{trained} 1"]
    examples = [
        whole.root / "runs" / "steps" / steps[f"train-reranker seed 0 fold {n}"] / "ranking_examples" for n in range(2)
    ]
    one, other = (set(pq.read_table(folder, columns=["user_id"])["user_id"].to_pylist()) for folder in examples)
    assert one
    assert other
    assert not one & other
    assert {user for user in one | other if user.startswith("t")} == {f"t{n}" for n in range(100, 108)}


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_a_killed_run_predicts_the_same_and_pays_no_more_than_what_was_in_flight_twice(
    cluster: str, whole: Whole, threaded_server: FakeServer, tmp_path: Path
) -> None:
    """SIGKILL in mid labelling, and the same command again: all on workers, where the whole run has none for so few."""
    hostile_data(tmp_path / "data")
    dead = threading.Event()

    async def until_dead(number: int, body: dict[str, Any]) -> Any:
        while number >= 30 and not dead.is_set():
            await asyncio.sleep(0.02)
        return odd_answers(number, body)

    threaded_server.script = until_dead
    workers = "resources.few_in_driver=false"
    cut = command(cluster, "run", tmp_path, threaded_server.url, workers)
    killed = subprocess.Popen(cut, env=without_key(), stderr=subprocess.DEVNULL)
    until = time.monotonic() + 240
    while len(threaded_server.bodies) <= 30:
        assert time.monotonic() < until
        assert killed.poll() is None
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    time.sleep(2)
    dead.set()
    assert not [f for f in (tmp_path / "runs" / "steps").glob("label-*") if not f.name.endswith(".partial")]
    again = hydra_ray(cluster, "run", tmp_path, threaded_server.url, workers)
    assert again.returncode == 0, again.stderr
    assert "label: continuing" in again.stdout + again.stderr
    paid = len(threaded_server.bodies)
    assert len({json.dumps(body, sort_keys=True) for body in threaded_server.bodies}) == whole.calls
    assert paid - whole.calls <= CONCURRENCY
    other = Whole(tmp_path, paid)
    assert other.labels() == whole.labels()
    assert other.predictions() == whole.predictions()


REFUSALS: dict[str, tuple[int | None, list[str], str]] = {
    "unreachable": (None, ["llm.base_url=http://127.0.0.1:9/v1"], "is the server running"),
    "401": (401, ["resources.few_in_driver=false"], "HYDRA_RAY_LLM_API_KEY is not set: check it"),
    "429": (429, [], "lower llm.concurrency"),
}
"""Name -> status of every answer, further overrides, and what the line says."""


@pytest.fixture(scope="module")
def refused(cluster: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, "subprocess.CompletedProcess[str]"]:
    """Labelling with each kind of refusal, all at once: most of a run's time goes into starting processes."""

    def run(name: str) -> "subprocess.CompletedProcess[str]":
        status, more, _ = REFUSALS[name]
        root = tmp_path_factory.mktemp(name)
        hostile_data(root / "data")
        with in_thread(FakeServer((lambda *_: error(status)) if status else odd_answers)) as server:
            return hydra_ray(cluster, "label", root, server.url, *more)

    with ThreadPoolExecutor(len(REFUSALS)) as pool:
        return dict(zip(REFUSALS, pool.map(run, REFUSALS), strict=True))


@pytest.mark.cluster
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", REFUSALS)
def test_a_black_box_that_does_not_answer_ends_in_one_line(
    refused: dict[str, "subprocess.CompletedProcess[str]"], name: str
) -> None:
    assert refused[name].returncode == 2
    assert REFUSALS[name][2] in error_line(refused[name])


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_a_budget_that_is_reached_ends_in_one_line_and_nothing_is_asked_twice(
    cluster: str, threaded_server: FakeServer, tmp_path: Path
) -> None:
    hostile_data(tmp_path / "data")
    reached = hydra_ray(cluster, "label", tmp_path, threaded_server.url, "llm.max_calls=20")
    assert reached.returncode == 2
    assert "llm.max_calls=20" in error_line(reached)
    assert len(threaded_server.bodies) == 20
    assert hydra_ray(cluster, "label", tmp_path, threaded_server.url).returncode == 0
    distinct = {json.dumps(body, sort_keys=True) for body in threaded_server.bodies}
    assert len(distinct) == len(threaded_server.bodies)


def error_line(done: "subprocess.CompletedProcess[str]") -> str:
    """The only line of a command that says what is wrong."""
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("hydra-ray: error:")]
    return line
