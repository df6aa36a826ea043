"""The rows of the fine-tuned LLM: what they ask, what answers, and what a training depends on."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hydra_ray.config import Config
from hydra_ray.core.sampling import Trial
from hydra_ray.errors import UserError
from hydra_ray.methods.finetuned import served
from hydra_ray.methods.method import method_named
from hydra_ray.methods.training import LearnedPrompt
from hydra_ray.report.needs import need_of
from hydra_ray.training.finetune.finetune_job import read_rows
from hydra_ray.training.finetune.trainer import MODEL
from tests.methods.questions import Asked
from tests.models.lora.small_llama import write_llama
from tests.pipeline.step_keys import make_job

ROWS = ("finetuned_k0", "finetuned_k4")


def test_the_rows_ask_once_and_need_the_llms_weights() -> None:
    asked: Any = Asked()
    assert [list(method_named(row).calls(asked).values()) for row in ROWS] == [[("greedy",)], [("greedy", "4 by bm25")]]
    for row in ROWS:
        assert need_of(method_named(row).group) == "weights of the LLM"
        assert not method_named(row).serves_lora
        assert method_named(row).user_parameters is None


def test_the_llm_answers_where_no_epoch_was_better(tmp_path: Path) -> None:
    assert served(tmp_path) is None
    (tmp_path / MODEL).mkdir()
    assert served(tmp_path) == tmp_path / MODEL


def test_it_is_trained_anew_where_its_training_reads_something_else(tmp_path: Path) -> None:
    def key(row: str, **changes: Any) -> str:
        job, _ = make_job(tmp_path, evaluate={"methods": [row]}, **changes)
        found = job.trained_method(Trial(0), row)
        assert found is not None
        return found.key

    assert key("finetuned_k0") != key("finetuned_k4")
    for changes in ({"finetune": {"epochs": 3}}, {"llm": {"max_prompt_tokens": 300}}, {"train": {"zero_stage": 3}}):
        assert key("finetuned_k4", **changes) != key("finetuned_k4")
    movies = {"data": {"task": "lamp_2m"}}
    assert key("finetuned_k4", llm={"prompt": "lamp"}, **movies) != key("finetuned_k4", **movies)
    for changes in ({"lora": {"rank": 4}}, {"train": {"epochs": 3, "offload": "none"}}):
        assert key("finetuned_k4", **changes) == key("finetuned_k4")


def training(folder: Path, source: Path, prompts: list[LearnedPrompt], **finetune: Any) -> Any:
    config = {"llm": {"serve": {"source": str(source)}}, "finetune": finetune}
    return SimpleNamespace(
        config=Config.model_validate(config).model_dump(mode="json"), seed=0, folder=folder, log=print,
        prompts=lambda ask: iter(prompts), start_ray=lambda: None,
    )  # fmt: skip


@pytest.mark.parametrize(("holdout", "held_out"), [(0.0, 0), (0.25, 3)])
def test_a_share_of_the_users_is_held_out_with_all_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holdout: float, held_out: int
) -> None:
    """The rows that workers would read; none is started."""
    prompts = [LearnedPrompt(f"u{i % 4}", f"Tag of note {i}?", "amber") for i in range(12)]
    train, started = method_named("finetuned_k0").train, []
    monkeypatch.setattr("hydra_ray.training.ray_workers.run_workers", lambda *args: started.append(args))
    monkeypatch.setattr("hydra_ray.training.finetune.trainer.keep_result", lambda job, out: None)
    assert train is not None
    train(training(tmp_path, write_llama(tmp_path / "llm"), prompts, holdout=holdout))
    assert len(started) == 1
    rows = read_rows(tmp_path / "scratch" / "rows.parquet")
    assert (len(rows.learned), len(rows.held_out)) == (12 - held_out, held_out)


def test_weights_that_lie_on_a_hub_alone_cannot_be_trained(tmp_path: Path) -> None:
    train = method_named("finetuned_k0").train
    assert train is not None
    with pytest.raises(UserError, match=r"llm\.serve\.source=org/model: training needs weights in a folder"):
        train(training(tmp_path, Path("org/model"), []))


def test_an_llm_without_rows_is_one_line(tmp_path: Path) -> None:
    train = method_named("finetuned_k4").train
    assert train is not None
    with pytest.raises(UserError, match=r"^finetuned_k4: no rows of training users to learn from; raise protocol"):
        train(training(tmp_path, write_llama(tmp_path / "llm"), []))
