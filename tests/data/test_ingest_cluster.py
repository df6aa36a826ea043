"""The Ray shell against the pure path."""

import os
from pathlib import Path
from typing import Any

import pytest

from hydra_ray.config import Config
from hydra_ray.data import ingest as shell
from hydra_ray.data.reader import list_users, read_counts, read_users, users_dataset
from hydra_ray.data.rejects import read_rejects
from hydra_ray.errors import UserError
from tests.data.files import NOTES, RATING, golds, ingest_pure, item, lamp_root, question, write
from tests.data.own_rows import lines, row

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("local_ray")]


def config(root: Path, **data: Any) -> Config:
    return Config.model_validate({"data": {"source": "lamp", "root": str(root), "buckets": 7, **data}})


def test_ray_and_pure_path_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "PARTITION_BYTES", 8 << 10)
    users = [f"u{i % 30}" for i in range(90)]
    train = [
        question(f"t{n}", [item(f"{u}-{k}", f"text {k}", k % 6, f"20{k + 10}") for k in range(n // 10)], user_id=u)
        for n, u in enumerate(users)
    ]
    train += [question("t1"), {"id": "x"}, question("nogold", user_id="u1")]
    dev = [question(f"d{n}", [item("a", date="soon")]) for n in range(20)]
    outputs = golds({f"t{n}": "5" for n in range(90)})
    root = lamp_root(tmp_path / "src", train, outputs, dev, golds({f"d{n}": n % 5 + 1 for n in range(20)}))
    steps: list[tuple[int, int]] = []
    counts = shell.ingest(config(root), RATING, root, tmp_path / "ray", lambda done, all_: steps.append((done, all_)))
    pure = ingest_pure(root, RATING, tmp_path / "pure", buckets=7)
    assert counts == {**pure.counts, "lamp_id": "LaMP_3"} == read_counts(tmp_path / "ray")
    assert {u.user_id: u for u in read_users(tmp_path / "ray")} == pure.users
    assert sorted(read_rejects(tmp_path / "ray"), key=repr) == sorted(pure.rejects, key=repr)
    assert counts["rejects"]["duplicate_question"] == 1
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1]
    assert sorted(p.name for p in (tmp_path / "ray").iterdir()) == ["counts.json", "rejects", "users"]
    dataset = users_dataset(tmp_path / "ray")
    assert dataset.count() == len(pure.users) == list_users(tmp_path / "ray").num_rows


def test_own_rows_of_many_files(tmp_path: Path) -> None:
    for n in range(20):
        write(tmp_path / "src" / f"{n:02d}.jsonl", lines([row(f"u{k}", n + 1) for k in range(5)]))
    counts = shell.ingest(config(tmp_path / "src", source="tabular"), NOTES, tmp_path / "src", tmp_path / "ray")
    pure = ingest_pure(tmp_path / "src", NOTES, tmp_path / "pure", source="tabular", buckets=7)
    assert counts == {**pure.counts, "lamp_id": None}
    assert {u.user_id: u for u in read_users(tmp_path / "ray")} == pure.users
    assert sum(counts["questions"].values()) == 15


def test_a_users_mistake_arrives_as_one_line(tmp_path: Path) -> None:
    root = lamp_root(tmp_path / "src", dev='[{"id": "2", "input": "a", "profile": []}, {"id"')
    with pytest.raises(UserError) as caught:
        shell.ingest(config(root), RATING, root, tmp_path / "a")
    assert str(caught.value) == (
        f"{root}/dev_questions.json: is cut off at record 1 (counted from 0): write or download the file again"
    )
    assert not (tmp_path / "a" / "counts.json").exists()


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    root = tmp_path / "src"
    write(root / "a.jsonl", lines([row("u", 1, tag="?"), row("u", 2, tag="?"), row(None, 3)]))
    with pytest.raises(UserError) as caught:
        shell.ingest(config(root, source="tabular"), NOTES, root, tmp_path / "b")
    assert str(caught.value) == (
        f"{root}: nothing in its files can be used (2 x answer_not_a_label, 1 x missing_user): check data.task"
    )


def test_relative_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lamp_root(tmp_path / "src")
    monkeypatch.chdir(tmp_path)
    counts = shell.ingest(config(Path("src")), RATING, Path("src"), Path("out"))
    assert counts["users"] == {"train": 1, "test": 1}
    assert os.path.exists("out/counts.json")
