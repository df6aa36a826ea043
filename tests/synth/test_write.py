"""The written files: LaMP's layout, the same users whatever their number, flat memory, all or nothing."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from hydra_ray.config import SynthConfig
from hydra_ray.core.tasks import load_task
from hydra_ray.errors import UserError
from hydra_ray.synth import write
from hydra_ray.synth.write import is_train, oracle, write_world


def read(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.parametrize("task", ["tagging", "rating", "headline"])
def test_layout(task: str, tmp_path: Path) -> None:
    config = SynthConfig(task=task, users=60, items=(3, 6), questions=2)  # type: ignore[arg-type]
    seen: list[tuple[int, int]] = []
    summary = write_world(config, tmp_path, lambda done, total: seen.append((done, total)))
    definition = load_task(f"synthetic_{task}")
    assert definition.question_marker is not None
    for split, users in (("train", summary.train_users), ("dev", summary.dev_users)):
        questions, outputs = read(tmp_path / f"{split}_questions.json"), read(tmp_path / f"{split}_outputs.json")
        assert outputs["task"] in definition.lamp_ids
        assert [q["id"] for q in questions] == [g["id"] for g in outputs["golds"]]
        assert len({q["user_id"] for q in questions}) == users
        for question, gold in zip(questions, outputs["golds"], strict=True):
            user = oracle(config, question["user_id"])
            query = next(q for q in user.questions if q.item_id == question["id"])
            assert question["input"].count(definition.question_marker) == 1
            assert question["input"].split(definition.question_marker)[1].strip() == query.text
            assert gold["output"] == query.answer
            assert 3 <= len(question["profile"]) <= 6
            assert definition.answer_field is not None
            assert set(question["profile"][0]) == {"id", "text", "date", definition.answer_field}
            assert max(item["date"] for item in question["profile"]) < question["date"]
    assert seen[-1] == (60, 60)
    world = read(tmp_path / "world.json")
    assert world["users"] == 60 == summary.users
    assert world["attainable"] == summary.attainable
    assert not list(tmp_path.glob("*.tmp"))


def test_users_do_not_depend_on_their_number(tmp_path: Path) -> None:
    rows = {}
    for users in (40, 90):
        write_world(SynthConfig(users=users, items=(2, 4)), tmp_path / str(users))
        rows[users] = [
            {q["id"]: q for q in read(tmp_path / str(users) / f"{split}_questions.json")} for split in ("train", "dev")
        ]
    for few, many in zip(rows[40], rows[90], strict=True):
        assert few == {key: row for key, row in many.items() if key in few}


def test_split_follows_the_share() -> None:
    train = sum(is_train(f"u{index:08d}", 0.3) for index in range(5000))
    assert train == pytest.approx(1500, abs=120)


def test_memory_is_flat(tmp_path: Path) -> None:
    def peak(users: int) -> int:
        tracemalloc.start()
        write_world(SynthConfig(users=users, items=(2, 4)), tmp_path / str(users))
        _, top = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return top

    write_world(SynthConfig(users=100, items=(2, 4)), tmp_path / "warm")
    assert peak(2000) < 1.5 * peak(200) + 200_000


def test_a_broken_off_write_leaves_nothing_that_looks_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = write.make_user

    def breaks(task: str, seed: int, index: int, items: tuple[int, int], questions: int) -> Any:
        if index == 5:
            raise KeyboardInterrupt
        return real(task, seed, index, items, questions)

    monkeypatch.setattr(write, "make_user", breaks)
    with pytest.raises(KeyboardInterrupt):
        write_world(SynthConfig(users=10, items=(2, 4)), tmp_path)
    assert not list(tmp_path.glob("*.json"))


def test_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_world(SynthConfig(users=4), tmp_path / "file")


def test_oracle_knows_only_written_users() -> None:
    config = SynthConfig(users=10)
    assert oracle(config, "u00000003").user_id == "u00000003"
    for user_id in ("u00000010", "tiny-00000003", "u3", "x"):
        with pytest.raises(UserError, match="no user"):
            oracle(config, user_id)
