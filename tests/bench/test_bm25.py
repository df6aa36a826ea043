"""The bench of BM25 on a data set small enough to count by hand."""

import json
from pathlib import Path

import pytest

from hydra_ray.bench import bm25
from hydra_ray.core.bm25 import BM25Kind
from hydra_ray.core.tasks import load_task
from hydra_ray.core.types import HistoryItem

TASK = load_task("synthetic_tagging")
HISTORY = [HistoryItem("0", "", "good cable", "amber"), HistoryItem("1", "", "good cable for guitar", "birch")]
ASKED = [("anna", "good cable", "amber", HISTORY), ("bert", "guitar", "birch", HISTORY)]


def test_scores_of_the_first_and_of_the_best_of_four() -> None:
    assert bm25.scores(TASK, ASKED, BM25Kind("plus", "words")).tolist() == [[1, 1], [1, 1]]
    assert bm25.scores(TASK, ASKED, BM25Kind("okapi", "whitespace")).tolist() == [[0, 1], [1, 1]]


def test_a_table_compares_with_lamps() -> None:
    lines = bm25.table(TASK, ASKED, "made up")
    assert lines[0] == "made up: 2 queries of 2 users"
    assert lines[2].split() == ["okapi", "whitespace", "0.500", "1.000"]
    assert lines[-1].split()[:5] == ["plus", "words", "1.000", "1.000", "+0.500"]
    assert bm25.table(TASK, [], "empty") == []


def test_errors_are_printed_as_errors() -> None:
    rating = load_task("synthetic_rating")
    cases = [("anna", "good cable", "3", [HistoryItem("0", "", "good cable", "5")])]
    assert bm25.table(rating, cases, "x")[2].split() == ["okapi", "whitespace", "2.000", "2.000"]


def test_a_report_has_whole_and_cut_histories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [("anna", "good cable", "amber", HISTORY)]
    (tmp_path / "manifest.json").write_text(json.dumps({"config": {"task": TASK.model_dump(mode="json")}}))
    monkeypatch.setattr(bm25, "queries", lambda folder: iter(cases))
    lines = bm25.report(tmp_path)
    assert lines[0].startswith("# synthetic_tagging, accuracy")
    assert "whole histories: 1 queries of 1 users" in lines
    assert "cut to the newest 2 to 5: 1 queries of 1 users" in lines
