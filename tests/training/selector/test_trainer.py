"""From a pool's answers to a selector as a folder, with a small encoder."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hydra_ray.config import ModelConfig, RspgConfig
from hydra_ray.core.retriever_pool import PoolExample, agreement
from hydra_ray.core.tasks import load_task
from hydra_ray.errors import UserError
from hydra_ray.training.artifacts.trained_selector import TrainedSelector
from hydra_ray.training.selector import trainer
from hydra_ray.training.selector.trainer import train_selector
from tests.training.tiny import make_encoder

TASK = load_task("lamp_3")
POOL = ("none", "bm25", "recency")
CONFIG = RspgConfig(pool=POOL, lr=0.05, epochs=30)


def model(folder: Path) -> ModelConfig:
    return ModelConfig(encoder=str(make_encoder(folder, spread=0.5)), max_tokens=16)


def example(user: int, right: int, answers: tuple[str | None, ...] = ("5", "5", "1")) -> PoolExample:
    """One whose prompt says which retriever is right: `happy` in it stands for a good answer."""
    prompts = tuple(f"{'happy' if place == right else 'sad'} text" for place in range(3))
    rewards = tuple(float(place == right) for place in range(3))
    return PoolExample(f"u{user}", prompts, answers, rewards, tuple(agreement(TASK, answers)))


def trained(
    tmp_path: Path, examples: list[PoolExample], config: RspgConfig = CONFIG, post: bool = False
) -> tuple[TrainedSelector, list[str]]:
    lines: list[str] = []
    folder = tmp_path / "selector"
    folder.mkdir()
    train_selector("rspg_pre", examples, config, model(tmp_path / "encoder"), post, 0, folder, lines.append)
    moved = (tmp_path / "encoder").rename(tmp_path / "moved")  # it is told where its encoder lies
    return TrainedSelector.load(folder, str(moved)), lines


def test_before_the_answers_it_learns_from_the_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    equal = replace(example(30, 0), rewards=(1.0, 1.0, float("nan")))
    encoded: list[int] = []
    encode = trainer.relative_embeddings

    def counted(encoder: Any, retrievers: int, prompts: Any, answers: Any = None) -> Any:
        encoded.append(len(prompts))
        return encode(encoder, retrievers, prompts, answers)

    monkeypatch.setattr(trainer, "relative_embeddings", counted)
    found, lines = trained(tmp_path, [equal, *(example(i, i % 3) for i in range(30)), equal])
    # Nothing is learned from queries with equal rewards, and their texts are not encoded.
    assert encoded == [90]
    assert [found.place(TASK, example(0, right).prompts) for right in range(3)] == [0, 1, 2]
    about = json.loads((tmp_path / "selector" / "selector.json").read_text())
    assert about["selector"] == 1.0 > max(about["alone"].values())
    assert about["questions"] == [24, 6]
    assert lines == [
        f"rspg_pre: 24 queries learned from, 2 with equal rewards left out, epoch {about['epoch']} of 30 kept; mean "
        f"reward of held-out users 1.000, of the best retriever alone {max(about['alone'].values()):.3f}"
    ]


def test_where_texts_say_nothing_it_is_the_best_retriever_alone(tmp_path: Path) -> None:
    found, _ = trained(tmp_path, [
        PoolExample(f"u{i}", ("same text",) * 3, ("1",) * 3, (0.0, 1.0, 0.0) if i % 4 else (1.0, 0.0, 0.0), (1.0,) * 3)
        for i in range(20)
    ])  # fmt: skip
    assert found.place(TASK, ("same text",) * 3) == 1


def test_afterwards_it_reads_answers_and_may_read_how_they_agree(tmp_path: Path) -> None:
    # Equal texts: what tells answers apart is that two of three agree.
    examples = []
    for i in range(24):
        odd = i % 3
        answers = tuple("1" if place == odd else "5" for place in range(3))
        alike = tuple(agreement(TASK, answers))
        examples.append(PoolExample(f"u{i}", ("text",) * 3, ("x",) * 3, tuple(float(a > 0) for a in alike), alike))
    found, _ = trained(tmp_path, examples, CONFIG.model_copy(update={"agreement": True}), post=True)
    assert found.agreement
    # A missing answer is never chosen, and is no other answer to agree with.
    assert found.place(TASK, ("text",) * 3, (None, "4", "4")) in (1, 2)
    assert found.place(TASK, ("text",) * 3, (None, None, None)) is None
    places = [found.place(TASK, ("text",) * 3, answers) for answers in (("1", "4", "4"), ("4", "4", "1"))]
    assert places[0] in (1, 2)
    assert places[1] in (0, 1)


@pytest.mark.parametrize("examples", [[], [PoolExample("u", ("a",) * 3, ("1",) * 3, (0.5,) * 3, (1.0,) * 3)] * 2])
def test_nothing_to_learn_is_one_line(tmp_path: Path, examples: list[PoolExample]) -> None:
    with pytest.raises(UserError, match=rf"^rspg_pre: the LLM answers none of the {len(examples)} training queries"):
        trained(tmp_path, examples)
    assert not list((tmp_path / "selector").iterdir())


def test_a_folder_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^RSPG: no trained selector in .*; remove the folder and run again"):
        TrainedSelector.load(tmp_path, "minilm")
