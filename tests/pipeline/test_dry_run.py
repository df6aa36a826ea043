"""A dry run opens what a run reads, asks once, and bounds what the run asks."""

import json
from pathlib import Path

import pytest

from hydra_ray.cli import main
from hydra_ray.llm.response_cache import CallOutcome, ResponseCache
from hydra_ray.utils.model_digest import model_digest
from tests.docs.pages import ROOT
from tests.llm.fake_server import FakeServer, completion, error
from tests.models.small_t5 import write_t5

TASK = """
kind: classification
text_fields: [text]
answer_field: tag
instruction: Give the tag.
labels: [red, blue]
primary_metric: accuracy
max_answer_tokens: 8
"""


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    """Overrides for eight users of six rows; one row has no answer."""
    rows = [
        {"user_id": f"u{u}", "item_id": f"{u}-{i}", "date": f"2024-01-{i + 1:02d}", "text": f"note {u} {i}",
         "tag": "red" if i % 2 else "blue"}
        for u in range(8)
        for i in range(6)
    ]  # fmt: skip
    rows.append({**rows[0], "item_id": "none", "tag": None})
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "tags.yaml").write_text(TASK)
    return [
        "data.source=tabular", f"data.root={tmp_path / 'rows'}", f"data.task={tmp_path / 'tags.yaml'}",
        f"root={tmp_path / 'runs'}", "data.tabular.questions=1", "data.tabular.min_items=3",
        "data.tabular.test_share=0.5",
        "protocol.pseudo_queries=2", "retrieval.top_n=2", "reranker.top_k=1", "adapter.num_samples=2", "llm.model=m",
    ]  # fmt: skip


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    return "\n".join(" ".join(line.split()) for line in capsys.readouterr().out.splitlines())


def test_everything_is_opened_and_the_endpoint_asked_once(
    own: list[str], threaded_server: FakeServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    threaded_server.script = lambda number, body: completion(["Tag: red."] * body.get("n", 1))
    prices = ["llm.price_prompt=1000", "llm.max_calls=50"]
    assert main(["run", "--dry-run", *own, f"llm.base_url={threaded_server.url}", *prices]) == 0
    out = shown(capsys)
    assert "task tags (classification, accuracy, 2 labels), answers of at most 8 tokens" in out
    assert "40 items" in out
    assert "not used: 1 x missing_answer" in out
    assert "encoder minilm (bert) reads 512 tokens" in out
    assert 'LLM answered: "Tag: red.", read as "red"; 7 tokens in, 4 out' in out
    assert len(threaded_server.bodies) == 1
    # 5 training users with a question and 2 pseudo-queries each, 3 test users with 2: 21 queries, of 2 records each.
    assert "label 42" in out
    assert "generate 21" in out
    assert "summarise 3" in out
    assert "evaluate 39" in out
    assert "unknown" not in out
    assert "llm.max_calls=50 may not be enough: 0 used and 105 to come at most" in out
    assert not (tmp_path / "runs").exists()


def test_offline_no_prices_and_what_was_used_before(
    own: list[str], threaded_server: FakeServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ledger = ResponseCache(tmp_path / "runs" / "cache" / "llm.sqlite", "mine")
    (reservation,) = ledger.exchange([], [0.0])
    ledger.exchange([CallOutcome(reservation, calls=7)])
    ledger.close()
    more = [f"llm.base_url={threaded_server.url}", "--offline", "llm.max_calls=200", "name=mine"]
    assert main(["run", "--dry-run", *own, *more]) == 0
    out = shown(capsys)
    assert "not called: --offline" in out
    assert threaded_server.bodies == []
    # Whether the server gives two samples a call is not known: each is a call.
    assert "generate 42" in out
    assert "cost: unknown, as llm.price_prompt and llm.price_completion are not set" in out
    assert "llm.max_calls=200 is enough: 7 used and 135 to come at most" in out


def test_questions_without_gold_answers_are_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for split, users in (("train", range(4)), ("dev", range(4, 7))):
        questions = [
            {"id": str(u), "user_id": f"u{u}", "input": f"... review: note {u}",
             "profile": [{"id": f"{u}-{i}", "text": f"note {i}", "score": str(1 + i % 5)} for i in range(5)]}
            for u in users
        ]  # fmt: skip
        (tmp_path / f"{split}_questions.json").write_text(json.dumps(questions))
    golds = [{"id": str(u), "output": "5"} for u in range(4)]
    (tmp_path / "train_outputs.json").write_text(json.dumps({"task": "LaMP_3", "golds": golds}))
    words = ["data.source=lamp", f"data.root={tmp_path}", "data.task=lamp_3", f"root={tmp_path / 'runs'}"]
    assert main(["run", "--dry-run", "--offline", *words, "llm.base_url=http://127.0.0.1:9/v1", "llm.model=x"]) == 0
    line = "users 3 of the 3 questions of the users to test have no gold answer: they are answered, not scored"
    assert line in shown(capsys)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["model.max_tokens=513"], "model.max_tokens=513: minilm reads 512 tokens at most"),
        (["model.encoder=/none"], "model.encoder=/none: cannot be loaded"),
        (["data.root=/none"], "/none: no such file or folder"),
        (["ray.num_cpus=1"], "2 CPUs are needed"),
        (["ray.address=127.0.0.1:1"], "ray.address=127.0.0.1:1: nothing answers there"),
        ([], "no answer to the first prompt: HTTP 400: no"),
    ],
)
def test_what_would_stop_the_run_stops_the_dry_run_in_one_line(
    own: list[str], threaded_server: FakeServer, capsys: pytest.CaptureFixture[str], more: list[str], line: str
) -> None:
    threaded_server.script = lambda number, body: error(400)
    assert main(["run", "--dry-run", *own, f"llm.base_url={threaded_server.url}", *more]) == 2
    (shown,) = capsys.readouterr().err.splitlines()
    assert line in shown


def test_offline_alone_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--offline"]) == 2
    assert "--offline: goes with --dry-run" in capsys.readouterr().err


def test_an_encoder_decoder_is_looked_at_and_not_loaded(
    own: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = write_t5(tmp_path / "t5")
    serve = ["llm.serve.engine=transformers", f"llm.serve.source={folder}"]
    assert main(["run", "--dry-run", *own, *serve]) == 0
    out = shown(capsys)
    assert f"LLM m#{model_digest(folder)}, which each worker of resources.ask loads (not loaded here)" in out
    assert f"prompts at most 1,532 tokens, as counted by {folder}" in out
    (folder / "model.safetensors").unlink()
    assert main(["run", "--dry-run", *own, *serve]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"{folder}: holds no weights" in line


def test_each_change_of_weights_is_another_start_of_vllm(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    small = [f"root={tmp_path / 'runs'}", "data.synth.users=24", "protocol.train_users=5", "protocol.test_users=5"]
    command = ["run", "--dry-run", "--config", str(ROOT / "configs" / "quickstart.yaml"), *small]
    again = "vLLM is started again"
    assert main([*command, "evaluate.methods=[task_lora_k0]"]) == 0
    assert again not in capsys.readouterr().out
    assert main([*command, "evaluate.methods=[finetuned_k4,recency_k4,finetuned_k0]"]) == 0
    assert f"in each seed and fold {again} with the weights of finetuned_k4, finetuned_k0" in shown(capsys)
