"""What a method is charged for."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from hydra_ray.core.labeling import Row
from hydra_ray.core.types import User
from hydra_ray.llm.response_cache import CallOutcome, ResponseCache
from hydra_ray.llm.types import CachedResponse, Request, call_key
from hydra_ray.methods.method import method_named
from hydra_ray.pipeline.method_costs import asked_rows, fits_users, prepared, usage_of, variant_of
from hydra_ray.pipeline.stage_rows import PromptedRow, StageRow, rows_to_table
from hydra_ray.pipeline.step import StepResult
from hydra_ray.report.method_costs import Usage


def request(text: str, n: int = 1) -> Request:
    return Request(({"role": "user", "content": text},), temperature=1.0 if n > 1 else 0.0, n=n)


@pytest.fixture
def ledger(tmp_path: Path) -> ResponseCache:
    return ResponseCache(tmp_path / "llm.sqlite", "run")


def keep(ledger: ResponseCache, asked: Request, start: int, count: int, texts: int, tokens: int) -> None:
    (reservation,) = ledger.exchange([], [0.0])
    record = CachedResponse(texts=["x"] * texts, prompt_tokens=tokens, completion_tokens=texts)
    ledger.exchange([CallOutcome(reservation, call_key("m", asked, start, count), record, calls=1)])


def test_a_call_for_all_samples_is_one_call(ledger: ResponseCache) -> None:
    eight = request("eight", 8)
    keep(ledger, eight, 0, 8, 8, 100)
    assert list(usage_of([eight], ledger, "m")) == [Usage(1, 100, 8)]


def test_samples_that_came_one_by_one_are_calls_of_their_own(ledger: ResponseCache) -> None:
    three = request("three", 3)
    for start in range(3):
        keep(ledger, three, start, 1, 1, 100)
    assert list(usage_of([three], ledger, "m")) == [Usage(3, 300, 3)]


def test_what_the_first_call_lacked_is_added(ledger: ResponseCache) -> None:
    four = request("four", 4)
    keep(ledger, four, 0, 4, 3, 100)
    keep(ledger, four, 3, 1, 1, 100)
    assert list(usage_of([four], ledger, "m")) == [Usage(2, 200, 4)]


def test_a_call_whose_answer_is_not_kept_counts_with_unknown_tokens(ledger: ResponseCache) -> None:
    assert list(usage_of([request("lost"), request("lost", 8)], ledger, "m")) == [Usage(1, 0, 0, 1)] * 2


def test_looking_is_no_use_of_the_cache(ledger: ResponseCache) -> None:
    one = request("one")
    keep(ledger, one, 0, 1, 1, 10)
    list(usage_of([one], ledger, "m"))
    assert ledger.counts().cached == 0


def test_the_queries_of_a_step(tmp_path: Path, ledger: ResponseCache) -> None:
    keep(ledger, request("a"), 0, 1, 1, 10)
    user, row = User("u", "train"), StageRow(Row("u", "q", "what?", "x", ()))
    table = rows_to_table(StageRow, [(user, PromptedRow(row, (request("a"), request("b"))))], {"u": 0})
    (tmp_path / "queries").mkdir()
    assert list(asked_rows(tmp_path, ledger, "m")) == []
    pq.write_table(table, tmp_path / "queries" / "1.parquet")
    (found,) = asked_rows(tmp_path, ledger, "m")
    assert (found.user_id, found.query_id, found.split) == ("u", "q", "train")
    assert found.used == (Usage(1, 10, 1), Usage(1, 0, 0, 1))
    assert len(set(found.keys)) == 2


def steps(**inputs: dict[str, str]) -> dict[str, StepResult]:
    return {
        key: StepResult(Path(key), {"step": key.rsplit("_", 1)[0].replace("_", "-"), "inputs": read}, True)
        for key, read in inputs.items()
    }


def test_what_prepares_a_method_is_followed_back_to_the_data() -> None:
    by_key = steps(
        ingest_1={},
        label_1={"ingest": "ingest_1", "users": "0123"},
        encode_reranker_1={"answers": "label_1"},
        encode_adapter_1={"answers": "generate_1"},
        train_reranker_1={"answers": "label_1"},
        fit_reranker_1={"answers": "label_1", "base": "train_reranker_1", "base_run": ""},
        summarise_1={"ingest": "ingest_1"},
        generate_1={"base": "train_reranker_1", "heads": "fit_reranker_1"},
        train_adapter_1={"answers": "generate_1"},
        train_method_1={"feedback": "label_1"},
        encode_histories_1={"ingest": "ingest_1"},
    )
    labelled = {"label_1", "encode_reranker_1", "train_reranker_1"}
    assert {step.key for step in prepared(["train_reranker_1", "summarise_1", "gone"], by_key)} == labelled
    adapter = labelled | {"fit_reranker_1", "generate_1", "train_adapter_1", "encode_adapter_1"}
    assert {step.key for step in prepared(["train_adapter_1"], by_key)} == adapter
    assert {step.key for step in prepared(["train_method_1"], by_key)} == {"train_method_1", "label_1"}
    assert prepared(["ingest_1"], by_key) == []


@pytest.mark.parametrize(
    ("name", "own", "variant"),
    [
        ("zero_shot", False, ""),
        ("ropg_kd_k4", False, ""),
        ("ropg_kd_user_k4", True, ""),
        ("pag_k1", False, ""),
        ("task_lora_pag_k1", False, ""),
        ("oppu_k4", False, ""),
        ("oppu_pag_k1", True, ""),
        ("hydra_shared", False, ""),
        ("hydra_reranker", True, ""),
        ("hydra_adapter", True, ""),
        ("hydra_paper", True, "paper"),
        ("hydra_unguarded", True, "unguarded"),
        ("hydra", True, ""),
    ],
)
def test_who_has_parameters_of_their_own(name: str, own: bool, variant: str) -> None:
    method: Any = method_named(name)
    assert fits_users(method) == own
    assert variant_of(method) == variant
    assert variant_of(SimpleNamespace(adapter=None)) == ""  # type: ignore[arg-type]
