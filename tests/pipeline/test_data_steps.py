"""The steps up to the ingested data: what their addresses hold, and what they say."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import hydra_ray.data.ingest as module
from hydra_ray.config import Config
from hydra_ray.errors import UserError
from hydra_ray.pipeline.data_steps import DataSteps
from hydra_ray.pipeline.job import Pipeline
from hydra_ray.pipeline.run_context import RunContext
from hydra_ray.pipeline.step import fingerprint
from tests.data.files import write
from tests.data.own_rows import lines, row

TASK = """kind: classification
text_fields: [text]
answer_field: tag
instruction: Give the tag.
primary_metric: accuracy
labels: [red, blue]
"""
GOOD = [row("u", day) for day in range(1, 11)]


def config(**retrieval: Any) -> Config:
    return Config.model_validate({"retrieval": retrieval})


def steps(**retrieval: Any) -> DataSteps:
    run: Any = SimpleNamespace(config=config(**retrieval))
    return DataSteps(run)


def test_addresses_of_steps_hold_what_the_retrievers_read(tmp_path: Path) -> None:
    plain = steps()._retrieval(("bm25",))
    # Keys that no retriever of the run reads leave its finished steps alone.
    assert plain == {"retrieval": {"method": "bm25", "bm25": "plus", "tokens": "words", "top_n": 10}}
    assert steps()._retrieval(("bm25", "recency")) == plain
    assert steps()._retrieval(("bm25", "dense"))["encoder"]["encoder"] == "minilm"
    assert steps(fuse=["recency", "dense"])._retrieval(("bm25", "rrf"))["encoder"]
    assert "encoder" not in steps(fuse=["recency"])._retrieval(("bm25", "rrf"))
    other: dict[str, Any] = {"similarity": "dot", "fuse": ["recency", "dense"]}
    assert steps(**other)._retrieval(("bm25", "recency")) == plain
    assert steps(**other)._retrieval(("bm25", "dense"))["retrieval"] == {**plain["retrieval"], "similarity": "dot"}
    assert steps(**other)._retrieval(("bm25", "rrf"))["retrieval"] == {**plain["retrieval"], **other}
    hashes = []
    for name, ids in (("one", ["a"]), ("two", ["a"]), ("three", ["b"])):
        (tmp_path / name).write_text(json.dumps({"q": ids}))
        hashes.append(steps(ranking=str(tmp_path / name))._retrieval(("bm25", "ranking"))["ranking"])
    assert hashes[0] == hashes[1] != hashes[2]
    with pytest.raises(UserError, match=r"^retrieval\.ranking: needed"):
        steps()._retrieval(("bm25", "ranking"))


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Ingest runs in this process; the folders that it wrote into."""
    folders: list[Path] = []

    def in_process(config: Config, task: Any, source: Path, out: Path, progress: Any) -> dict[str, Any]:
        folders.append(out)
        lax = config.model_copy(update={"data": config.data.model_copy(update={"max_rejects": 1.0})})
        return module.ingest_in_process(lax, task, source, out)

    monkeypatch.setattr(module, "ingest", in_process)
    monkeypatch.setattr(RunContext, "ray", lambda self: None)
    return folders


def job(tmp_path: Path, rows: list[Any], **data: Any) -> Pipeline:
    write(tmp_path / "rows" / "a.jsonl", lines(rows))
    task = write(tmp_path / "task.yaml", TASK)
    data = {"source": "tabular", "root": str(tmp_path / "rows"), "task": str(task), "buckets": 2, **data}
    return Pipeline(RunContext(Config.model_validate({"root": str(tmp_path / "runs"), "data": data})))


def logged(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def test_it_speaks_once_and_also_if_it_was_done_before(
    tmp_path: Path, done: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    first = job(tmp_path, GOOD)
    step = first.ingest()
    assert first.ingest() is step
    assert logged(capsys).count(" items, ") == 1
    again = job(tmp_path, GOOD)
    assert again.ingest().reused
    assert "ingest: 1 train and 0 test users (1 and 0 with questions), 9 items, 3 train and 0 test" in logged(capsys)
    assert len(done) == 1


def test_the_data_are_hashed_once_a_run(tmp_path: Path, done: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []

    def count(files: Any, root: Path) -> dict[str, str]:
        hashed.append(root)
        return fingerprint(files, root)

    monkeypatch.setattr("hydra_ray.pipeline.data_steps.fingerprint", count)
    one = job(tmp_path, GOOD)
    assert one.ingest() is one.ingest()
    assert len(hashed) == len(done) == 1


def test_too_many_rejects_leave_the_step_undone(
    tmp_path: Path, done: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [*GOOD, *(row("u", day, tag="green") for day in range(11, 15))]
    with pytest.raises(UserError, match=r"4 of 14 items \(29%\) cannot be used: 4 x answer_not_a_label"):
        job(tmp_path, rows).ingest()
    assert "not used: 4 x answer_not_a_label: " in logged(capsys)
    step = job(tmp_path, rows, max_rejects=0.5).ingest()
    assert not step.reused
    with pytest.raises(UserError, match=r"set data\.max_rejects="):
        job(tmp_path, rows).ingest()
    assert len(done) == 2


def test_one_file_and_changed_content(tmp_path: Path, done: list[Path]) -> None:
    path = str(tmp_path / "rows" / "a.jsonl")
    key = job(tmp_path, GOOD, root=path).ingest().key
    assert job(tmp_path, GOOD, root=path).ingest().key == key
    assert job(tmp_path, [*GOOD, row("v", 1)], root=path).ingest().key != key
