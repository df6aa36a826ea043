import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hydra_ray.config import Config, LLMConfig, ResourcesConfig
from hydra_ray.config.resources import AskResources
from hydra_ray.env import Secret
from hydra_ray.errors import BudgetReachedError, UnfinishedError, UserError
from hydra_ray.llm.mapper import ANSWER_SCHEMA, LLMMapper, append_answers, by_row, lost_error
from hydra_ray.llm.progress import PlainProgress, line
from hydra_ray.llm.request_columns import REQUESTS_TYPE, requests_to_structs
from hydra_ray.llm.types import Completion, Request
from tests.llm.fake_server import FakeServer, error


def test_columns_keep_their_types_when_nothing_is_missing():
    batch = pa.table({"row_id": ["a"]})
    for answers in (
        [Completion(("x", "y"), 3, 4, finish=("stop", "length"), degraded=True)],
        [Completion((), error="HTTP 400: no", permanent=True)],
    ):
        table = append_answers(batch, [answers])
        assert table.schema == pa.schema([("row_id", pa.string()), *ANSWER_SCHEMA])
    assert table.to_pylist()[0]["errors"] == ["HTTP 400: no"]
    both = append_answers(
        batch,
        [
            [
                Completion(("x",), 3, 4, cached=True, finish=("stop",)),
                Completion(("y",), 5, 6, finish=("length",), degraded=True),
            ]
        ],
    ).to_pylist()[0]
    assert both == {
        "row_id": "a", "texts": [["x"], ["y"]], "finish": [["stop"], ["length"]], "errors": [None, None], "degraded": 1,
        "prompt_tokens": 5, "completion_tokens": 6, "cached": 1,
    }  # fmt: skip


def test_a_row_that_lacks_an_answer_is_left_open():
    a, b, c = (Completion((x,)) for x in "abc")
    assert list(by_row([a, b, None, c], [2, 0, 1, 1])) == [[a, b], [], None, [c]]
    lost, refused = Completion((), error="HTTP 503: busy"), Completion((), error="HTTP 400: no", permanent=True)
    assert list(by_row([a, lost, refused, c], [2, 1, 1])) == [None, [refused], [c]]


def test_lost_answers_are_counted_by_reason_in_one_line():
    assert lost_error("label", {}, 9) is None
    lost = {"HTTP 503: busy": 20, "no answer from http://host/v1 within llm.timeout_s=120": 2}
    assert str(lost_error("label seed 0", lost, 960)) == (
        "label seed 0: 22 of 960 answers are missing after all retries (20 x HTTP 503: busy; 2 x no answer from "
        "http://host/v1 within llm.timeout_s=120; the server is too slow for llm.concurrency requests at once: lower "
        "it, or raise llm.timeout_s): run the same command again, it asks only for these; everything that was answered "
        "is kept"
    )
    assert "too slow" not in str(lost_error("label seed 0", {"HTTP 503: busy": 20}, 960))


def test_progress_lines(capsys):
    assert line("label", 50, 200, 10.0) == "[label] 50/200  5.0/s  ETA 30 s"
    assert line("label", 0, 200, 0.0) == "[label] 0/200  0.0/s  ETA ?"
    with PlainProgress("label", 3, lambda: 3, every_s=0.01):
        time.sleep(0.1)
    assert capsys.readouterr().err.count("[label] 3/3") >= 2


SCHEMA = pa.schema(
    [("row_id", pa.string()), ("requests", REQUESTS_TYPE), ("n_requests", pa.int32()), ("extra", pa.int64())]
)


def _config(tmp_path: Path, fake: FakeServer, few_in_driver: bool = False, **llm) -> Config:
    settings = {"base_url": fake.url, "model": "m", "concurrency": 8, "retry_backoff_s": 0.01, **llm}
    return Config(
        name="r",
        root=str(tmp_path / "runs"),
        llm=LLMConfig(**settings),
        resources=ResourcesConfig(ask=AskResources(num_workers=2), few_in_driver=few_in_driver),
    )


def _rows(count: int, start: int = 0) -> list[dict]:
    asks = [Request(({"role": "user", "content": f"q{i}"},), n=2, temperature=1.0) for i in range(start, count)]
    return [
        {"row_id": f"r{i}", "requests": requests_to_structs([a]), "n_requests": 1, "extra": i}
        for i, a in enumerate(asks)
    ]


def _source(folder: Path, rows: list[dict]) -> Path:
    folder.mkdir(exist_ok=True)
    for part in range(4):
        pq.write_table(pa.Table.from_pylist(rows[part::4], schema=SCHEMA), folder / f"{part}.parquet")
    return folder


def _answered(*args, **kwargs) -> list[dict]:
    from hydra_ray.llm.mapper import run_llm_stage

    return pq.read_table(run_llm_stage(*args, keep=("extra",), **kwargs)).to_pylist()


either = pytest.mark.parametrize("few_in_driver", [True, False], ids=["driver", "workers"])
"""Few requests: the process sends them by itself, or may not."""


@either
@pytest.mark.cluster
def test_every_row_once_with_its_own_answer(tmp_path, local_ray, threaded_server, capfd, few_in_driver):
    from ray.data import DataContext

    threaded_server.script = lambda number, body: (
        error(400, "too long") if body["messages"][0]["content"] == "q7" else None
    )
    cfg = _config(tmp_path, threaded_server, few_in_driver)
    silent = [{"row_id": "silent", "requests": [], "n_requests": 0, "extra": 60}]
    source = _source(tmp_path / "source", _rows(60) + silent)
    rows = _answered(source, cfg, tmp_path / "stage")
    assert sorted(r["extra"] for r in rows) == list(range(60))
    for row in rows:
        expected = [] if row["extra"] == 7 else [f"q{row['extra']}/0", f"q{row['extra']}/1"]
        assert row["texts"] == [expected]
        assert row["errors"] == ["HTTP 400: too long" if row["extra"] == 7 else None]
    assert len(threaded_server.bodies) == 60
    assert DataContext.get_current().checkpoint_config is None
    assert "[llm] 60/60" in capfd.readouterr().err
    again = _answered(source, cfg, tmp_path / "stage")
    assert sorted(r["extra"] for r in again) == list(range(60))
    assert len(threaded_server.bodies) == 60


@either
@pytest.mark.cluster
def test_a_reached_budget_keeps_and_resumes(tmp_path, local_ray, threaded_server, few_in_driver):
    import ray

    from hydra_ray.llm.response_cache_actor import response_cache_actor

    file = tmp_path / "runs" / "responses.sqlite"
    threaded_server.delay_s = 0.005
    cfg = _config(tmp_path, threaded_server, few_in_driver)
    source = _source(tmp_path / "source", _rows(60))
    with pytest.raises(BudgetReachedError, match=r"llm\.max_calls=25"):
        _answered(source, cfg, tmp_path / "stage", ledger=response_cache_actor(file, "small", max_calls=25))
    assert len(threaded_server.bodies) == 25
    assert ray.get(response_cache_actor(file, "small", max_calls=25).counts.remote()).calls == 25
    rows = _answered(source, cfg, tmp_path / "stage", ledger=response_cache_actor(file, "large"))
    assert sorted(r["extra"] for r in rows) == list(range(60))
    assert len(threaded_server.bodies) == 60


@either
@pytest.mark.cluster
def test_lost_answers_leave_the_stage_unfinished_and_only_they_are_asked_again(
    tmp_path, local_ray, threaded_server, few_in_driver
):
    def busy(number, body):
        asked = body["messages"][0]["content"]
        return error(503, "busy") if asked in ("q3", "q41") else error(400, "long") if asked == "q7" else None

    threaded_server.script = busy
    cfg = _config(tmp_path, threaded_server, few_in_driver, retries=1)
    source = _source(tmp_path / "source", _rows(60))
    with pytest.raises(UnfinishedError, match=r"mine: 2 of 60 answers are missing .*2 x HTTP 503: busy"):
        _answered(source, cfg, tmp_path / "stage", label="mine")
    before = len(threaded_server.bodies)
    threaded_server.script = None
    assert len(pq.read_table(tmp_path / "stage" / "output")) == 58
    # What is left may be asked for by the other of both.
    other = _config(tmp_path, threaded_server, not few_in_driver, retries=1)
    rows = _answered(source, other, tmp_path / "stage")
    assert sorted(body["messages"][0]["content"] for body in threaded_server.bodies[before:]) == ["q3", "q41"]
    assert {row["extra"]: row["errors"] for row in rows if row["errors"] != [None]} == {7: ["HTTP 400: long"]}
    assert sorted(row["extra"] for row in rows) == list(range(60))


@pytest.mark.cluster
def test_a_rate_limit_is_shared_by_all_actors_and_loses_no_row(tmp_path, local_ray, threaded_server):
    times: list[float] = []

    def script(number, body):
        now = time.monotonic()
        if len([t for t in times if now - t < 0.1]) >= 4:
            return error(429, "slow down", **{"Retry-After": "0.1"})
        times.append(now)
        return None

    threaded_server.script = script
    source = _source(tmp_path / "source", _rows(40))
    rows = _answered(source, _config(tmp_path, threaded_server, retries=0), tmp_path / "stage")
    assert {(r["extra"], r["errors"][0]) for r in rows} == {(i, None) for i in range(40)}
    # Both actors at once would be refused again and again; together they are refused less often than answered.
    assert len(threaded_server.bodies) < 2 * 40


@either
@pytest.mark.cluster
def test_a_refused_key_comes_out_as_one_line(tmp_path, local_ray, threaded_server, few_in_driver):
    threaded_server.script = lambda number, body: error(401)
    cfg, source = _config(tmp_path, threaded_server, few_in_driver), _source(tmp_path / "source", _rows(20))
    with pytest.raises(UserError, match="HYDRA_RAY_LLM_API_KEY") as caught:
        _answered(source, cfg, tmp_path / "stage")
    assert "\n" not in str(caught.value)
    twice = _source(tmp_path / "twice", [{**row, "row_id": "same"} for row in _rows(3)])
    with pytest.raises(ValueError, match="unique"):
        _answered(twice, _config(tmp_path, threaded_server), tmp_path / "stage2")


PROGRAM = """
import os, sys, tempfile
os.environ["RAY_AUTH_MODE"] = "disabled"
from pathlib import Path
import pyarrow.parquet as pq
import ray
from hydra_ray.config import Config, LLMConfig, ResourcesConfig
from hydra_ray.llm.mapper import run_llm_stage
url, folder, few_in_driver = sys.argv[1:4]
ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=200 * 2**20,
         _temp_dir=tempfile.mkdtemp(prefix="hr"))
cfg = Config(root=folder, llm=LLMConfig(base_url=url, model="m", concurrency=4),
             resources=ResourcesConfig(few_in_driver=few_in_driver == "True"))
result = pq.read_table(run_llm_stage(folder + "/source", cfg, folder + "/stage", keep=("extra",))).to_pylist()
assert sorted(r["extra"] for r in result) == list(range(400)), len(result)
for row in result:
    assert row["texts"] == [[f"q{row['extra']}/0", f"q{row['extra']}/1"]], row
print("complete", flush=True)
"""


@either
@pytest.mark.cluster
def test_a_killed_run_is_resumed_without_loss_or_repetition(tmp_path, threaded_server, few_in_driver):
    """The driver is killed in the middle; the second run pays only what was not answered before the kill."""
    killed = threading.Event()

    async def script(number, body):
        while number >= 150 and not killed.is_set():
            await asyncio.sleep(0.02)

    threaded_server.script = script
    _source(tmp_path / "source", _rows(400))
    command = [sys.executable, "-c", PROGRAM, threaded_server.url, str(tmp_path), str(few_in_driver)]
    first = subprocess.Popen(command, start_new_session=True)
    deadline = time.monotonic() + 300
    while len(threaded_server.bodies) <= 150:
        time.sleep(0.05)
        assert first.poll() is None
        assert time.monotonic() < deadline
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    time.sleep(2)
    killed.set()
    before = len(threaded_server.bodies)
    assert before < 400
    second = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert "complete" in second.stdout, second.stderr[-3000:]
    assert len(threaded_server.bodies) <= 400 + 4


LEFT_OPEN = """
from types import SimpleNamespace
from hydra_ray.config import LLMConfig
from hydra_ray.env import Secret
from hydra_ray.llm.batches import Batches
from hydra_ray.llm.mapper import LLMMapper

async def close():
    pass

mapper = LLMMapper(LLMConfig(), None, "http://127.0.0.1:9/v1", "id", 1, Secret(""))
mapper.__dict__["_batches"] = Batches(SimpleNamespace(close=close))
mapper.itself = mapper  # only the end of the interpreter lets go of it
"""


def test_a_process_ends_with_a_worker_that_was_not_closed() -> None:
    done = subprocess.run([sys.executable, "-c", LEFT_OPEN], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_worker_that_is_let_go_closes_its_connections_once() -> None:
    mapper = LLMMapper(LLMConfig(), None, "http://127.0.0.1:9/v1", "id", 1, Secret(""))
    closed: list[str] = []
    mapper.__dict__["_batches"] = SimpleNamespace(close=lambda: closed.append("closed"))
    mapper.close()
    del mapper
    assert closed == ["closed"]
