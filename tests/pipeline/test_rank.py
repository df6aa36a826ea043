"""`hydra-ray rank`: LaMP's ranking and merged files, made and read again. No Ray, no model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rank_bm25 import BM25Okapi

from hydra_ray.cli import main
from hydra_ray.core.types import HistoryItem, Question, User, user_to_row
from hydra_ray.data.users_writer import SCHEMA, bucket_path

REAL = Path(__file__).parents[3] / "shared" / "data"

PROFILE = [
    {"id": "a", "text": "a red fox", "score": "5", "date": "2020-01-03"},
    {"id": "b", "text": "the blue whale", "score": "not read here", "date": "2020-01-01"},
    {"id": 7, "text": "", "score": "1", "date": "2020-01-02"},
]

QUESTIONS = [
    {"id": "1", "user_id": "u", "input": "... review: blue whale", "profile": PROFILE},
    {"id": 2, "input": "... review: fox", "profile": PROFILE[:2] + PROFILE[:1]},
    {"id": "3", "input": "... review: x", "profile": []},
]
LAMP = ("data.task=lamp_3", "retrieval.bm25=okapi", "retrieval.tokens=cased")


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    return write(tmp_path / "dev_questions.json", QUESTIONS)


def rank(capsys: pytest.CaptureFixture[str], *words: str | Path) -> Any:
    assert main(["rank", *map(str, words)]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert main(["rank", *map(str, words)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    return captured.err


def test_every_item_is_ranked_once(tmp_path: Path, questions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "ranking.json"
    counts = rank(capsys, "--questions", questions, "--out", out, "data.task=lamp_3")
    assert counts == {"method": "bm25", "questions": 3, "items": 5}
    # By words, ties to the newer.
    assert json.loads(out.read_text()) == {"1": ["b", "a", "7"], "2": ["a", "b"], "3": []}
    rank(capsys, "--questions", questions, "--out", out, "data.task=lamp_3", "retrieval.method=recency")
    assert json.loads(out.read_text()) == {"1": ["a", "7", "b"], "2": ["a", "b"], "3": []}


def test_merged_files_hold_the_records_in_the_rankings_order(
    tmp_path: Path, questions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golds = write(tmp_path / "golds.json", {"task": "LaMP_3", "golds": [{"id": i, "output": str(i)} for i in "123"]})
    ranking = write(tmp_path / "ranking.json", {"1": ["7", "b", "a"], "2": ["a", "b", "gone"], "3": []})
    merged = tmp_path / "merged.json"
    rank(capsys, "--questions", questions, "--golds", golds, "--merged", merged,
         "data.task=lamp_3", "retrieval.method=ranking", f"retrieval.ranking={ranking}")  # fmt: skip
    a, b, empty = PROFILE
    assert json.loads(merged.read_text()) == [
        {"id": "1", "input": "... review: blue whale", "profile": [empty, b, a], "output": "1", "user_id": "u"},
        {"id": 2, "input": "... review: fox", "profile": [a, b], "output": "2"},
        {"id": "3", "input": "... review: x", "profile": [], "output": "3"},
    ]


def test_a_merged_file_that_is_read_again_is_the_same(
    tmp_path: Path, questions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    merged, out = tmp_path / "merged.json", tmp_path / "ranking.json"
    rank(capsys, "--questions", questions, "--merged", merged, "--out", out, "data.task=lamp_3")
    again = ("retrieval.method=ranking", f"retrieval.ranking={merged}", "data.task=lamp_3")
    rank(capsys, "--questions", questions, "--out", tmp_path / "again.json", *again)
    assert (tmp_path / "again.json").read_bytes() == out.read_bytes()


def test_a_ranking_that_is_read_again_is_the_same(
    tmp_path: Path, questions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    rank(capsys, "--questions", questions, "--out", first, *LAMP)
    again = ("retrieval.method=ranking", f"retrieval.ranking={first}")
    rank(capsys, "--questions", questions, "--out", second, *LAMP, *again)
    assert second.read_bytes() == first.read_bytes()


def test_test_questions_may_stand_under_golds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrapped = write(tmp_path / "q.json", {"task": "LaMP_3", "golds": QUESTIONS})
    merged = tmp_path / "merged.json"
    rank(capsys, "--questions", wrapped, "--merged", merged, "data.task=lamp_3")
    assert all("output" not in record for record in json.loads(merged.read_text()))


def test_an_ingested_data_set_is_ranked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    items = (HistoryItem("a", "fox", "fox", "5", "2020-01-01"), HistoryItem("b", "elk", "elk", "5", "2020-01-02"))
    users = [
        User("u", "train", items, (Question("1", "fox", "5", (0, 1)), Question("2", "fox", "4", (1,)))),
        User("v", "test", items, (Question("1", "elk", None, (0, 1)),)),
    ]
    (tmp_path / "counts.json").write_text('{"buckets": 1}')
    bucket_path(tmp_path, 0).parent.mkdir(parents=True)
    rows = [{**user_to_row(user, 0), "n_items": len(user.items), "n_questions": len(user.questions)} for user in users]
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), bucket_path(tmp_path, 0))
    out = tmp_path / "ranking.json"
    words = ("--ingested", tmp_path, "--out", out, "data.task=lamp_3")
    rank(capsys, *words, "--split", "train")
    assert json.loads(out.read_text()) == {"1": ["a", "b"], "2": ["b"]}
    out.unlink()
    assert "question 1 is there twice" in refused(capsys, *words)
    assert not out.exists()
    assert "--questions FILE" in refused(capsys, *words, "--merged", out)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([{"id": "1", "input": "x"}], "record 0 (counted from 0): not a LaMP questions file: it has no profile list"),
        ([*QUESTIONS[:1], {"id": "2", "input": 3}], "record 1 (counted from 0)"),
        ([{"id": "1", "input": "review: x", "profile": [{"text": "x"}]}], "has no id"),
        ([{"id": "1", "input": "review: x", "profile": [{"id": "1", "title": "x"}]}], "its items have id, title"),
        (
            [{"id": "1", "input": "... article: x", "profile": []}],
            "holds no 'review:', so it is no question of data.task",
        ),
        ([*QUESTIONS, QUESTIONS[0]], "question 1 is there twice"),
        ([], "holds no questions"),
    ],
)
def test_files_of_another_layout_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: Any, expected: str
) -> None:
    out = tmp_path / "out.json"
    found = refused(capsys, "--questions", write(tmp_path / "q.json", value), "--out", out, "data.task=lamp_3")
    assert expected in found
    assert [path.name for path in tmp_path.iterdir()] == ["q.json"]


def test_what_does_not_go_together_is_one_line(
    tmp_path: Path, questions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "nothing to write" in refused(capsys, "--questions", questions)
    assert "goes with --merged" in refused(capsys, "--questions", questions, "--out", "x", "--golds", "y")
    golds = write(tmp_path / "golds.json", {"task": "LaMP_3", "golds": [{"id": "1", "output": "5"}]})
    merged = ("--questions", questions, "--golds", golds, "--merged", tmp_path / "m.json", "data.task=lamp_3")
    assert "2 questions without a gold output (2, 3)" in refused(capsys, *merged)
    assert not (tmp_path / "m.json").exists()
    wrong = write(
        tmp_path / "wrong.json", {"task": "LaMP_5", "golds": [{"id": str(i), "output": "5"} for i in (1, 2, 3)]}
    )
    lost = [("1", None), ("2", "5"), ("3", "4")]
    for entries, expected in (([("1", "5")] * 2, "1 repeated (1)"), (lost, "output (1)")):
        listed = [{"id": key, "output": output} for key, output in entries]
        other = write(tmp_path / "other_golds.json", {"task": "LaMP_3", "golds": listed})
        assert expected in refused(capsys, *merged[:3], other, *merged[4:])
    assert "holds outputs of LaMP_5, not of LaMP_3" in refused(capsys, *merged[:3], wrong, *merged[4:])
    assert "goes with --ingested" in refused(capsys, *merged, "--split", "test")
    assert "is a file that is read" in refused(capsys, "--questions", questions, "--out", questions, "data.task=lamp_3")
    same = ("--out", tmp_path / "m.json", "--merged", tmp_path / "m.json", "data.task=lamp_3")
    assert "is the file of --out" in refused(capsys, "--questions", questions, *same)
    other = write(tmp_path / "other.json", {"9": ["a"]})
    words = ("--questions", questions, "--out", tmp_path / "m.json", "retrieval.method=ranking", "data.task=lamp_3")
    assert "ranks nothing for question 1" in refused(capsys, *words, f"retrieval.ranking={other}")
    assert "ranking: needed for method=ranking" in refused(capsys, *words)
    assert "No such file" in refused(capsys, *words, f"retrieval.ranking={tmp_path}/absent.json")
    assert "No such file" in refused(capsys, "--questions", tmp_path / "absent.json", "--out", tmp_path / "m.json")


def test_what_is_odd_about_questions_is_told(
    tmp_path: Path, questions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = [QUESTIONS[0], {**QUESTIONS[1], "input": "fox", "profile": [{**PROFILE[0], "date": "soon"}]}]
    words = ("rank", "--questions", write(tmp_path / "odd.json", odd), "--out", tmp_path / "r.json", "data.task=lamp_3")
    assert main([str(word) for word in words]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "hydra-ray: 1 questions without the task's marker (2); all of their input was searched for",
        "hydra-ray: 1 items with a date that cannot be read (a); they count as the oldest",
    ]
    config = tmp_path / "c.yaml"
    config.write_text("data: {task: lamp_3}\n")
    over = ("--questions", questions, "--config", config, "--out", config)
    assert "c.yaml: is a file that is read; write elsewhere" in refused(capsys, *over)
    papers = write(tmp_path / "papers.json", [{"id": "1", "input": "x", "profile": [{"id": "a", "title": "t"}]}])
    words = ("--questions", papers, "--out", tmp_path / "r.json", "data.task=lamp_1")
    assert "so it is no question of data.task=lamp_1" in refused(capsys, *words)


def test_real_rankings_are_rank_bm25s(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = REAL / "product_rating" / "dev_questions.json"
    if not file.exists():
        pytest.skip(f"{file} is not here")
    records = [record for record in json.loads(file.read_text()) if len(record["profile"]) < 60][:20]
    out = tmp_path / "ranking.json"
    words = (*LAMP, "retrieval.use_date=true")
    rank(capsys, "--questions", write(tmp_path / "q.json", records), "--out", out, *words)
    found = json.loads(out.read_text())
    for record in records:
        corpus = [f"{item['text']} date: {item['date']}" for item in record["profile"]]
        query = record["input"].partition("review:")[2].strip()
        scores = BM25Okapi([text.split() for text in corpus]).get_scores(query.split())
        score_of = {item["id"]: score for item, score in zip(record["profile"], scores, strict=True)}
        assert sorted(found[record["id"]]) == sorted(score_of)
        ranked = [score_of[item_id] for item_id in found[record["id"]]]
        assert np.all(np.diff(ranked) <= 1e-9)
