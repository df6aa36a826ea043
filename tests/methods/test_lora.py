"""Which adapter answers for whom, and what a training depends on."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hydra_ray.config import Config
from hydra_ray.core.sampling import Trial
from hydra_ray.errors import UserError
from hydra_ray.methods.lora import SERVED, TASK, LoraRows, base_folder, folder_of
from hydra_ray.methods.method import method_named
from hydra_ray.report.needs import need_of
from tests.methods.questions import Asked
from tests.pipeline.step_keys import make_job

ROWS = [
    *(f"{name}_k{k}" for name in ("task_lora", "peft", "oppu") for k in (0, 4)),
    *("task_lora_pag_k1", "oppu_pag_k1", "rag_peft_k4"),
]


@dataclass
class Question(Asked):
    """A user's question; a call is its examples, its summary and its adapter."""

    user_id: str = "with"
    folder: Path = Path()

    @property
    def trained(self) -> Path:
        return self.folder / "own"

    def trained_by(self, method: str) -> Path:
        return self.folder / method

    def greedy(self, examples: Any = (), summary: str = "", lora: Any = None) -> Any:
        return (*examples, *([summary] if summary else []), lora() if lora else None)


@pytest.mark.parametrize(
    ("row", "user", "adapter"),
    [
        ("task_lora_k0", "with", f"own/{TASK}"),
        ("peft_k0", "with", f"own/{SERVED}/{folder_of('with')}"),
        ("peft_k0", "without", None),
        ("rag_peft_k4", "with", f"own/{SERVED}/{folder_of('with')}"),
        ("rag_peft_k4", "without", None),
        ("oppu_k0", "with", f"own/{SERVED}/{folder_of('with')}"),
        ("oppu_k0", "without", f"task_lora_k0/{TASK}"),
        ("oppu_k4", "without", f"task_lora_k4/{TASK}"),
        ("oppu_pag_k1", "with", f"own/{SERVED}/{folder_of('with')}"),
        ("oppu_pag_k1", "without", f"task_lora_pag_k1/{TASK}"),
    ],
)
def test_a_user_without_an_adapter_gets_the_tasks_or_the_llm_alone(
    tmp_path: Path, row: str, user: str, adapter: str | None
) -> None:
    (tmp_path / "own" / SERVED / folder_of("with")).mkdir(parents=True)
    for trained in ("own", "task_lora_k0", "task_lora_k4", "task_lora_pag_k1"):
        (tmp_path / trained / TASK).mkdir(parents=True)
    (call,) = method_named(row).calls(Question(user_id=user, folder=tmp_path)).values()
    assert call[-1] == (None if adapter is None else tmp_path / adapter)
    k = int(row[-1])
    assert call[:-1] == (*((f"{k} by bm25",) if k else ()), *(("a summary",) if "pag" in row else ()))


@pytest.mark.parametrize("row", ["task_lora_k0", "oppu_k0"])
def test_where_no_epoch_of_the_tasks_lora_served_the_llm_answers_alone(tmp_path: Path, row: str) -> None:
    (call,) = method_named(row).calls(Question(folder=tmp_path)).values()
    assert call == (None,)


def test_examples_are_shown_in_training_too_but_for_rag_peft() -> None:
    for rows, trained in ((LoraRows(4, task=False, users=True), ("4 by bm25", None)),
                          (LoraRows(4, task=False, users=True, trained_k=0), (None,))):  # fmt: skip
        assert rows.ask(Question()) == trained  # type: ignore[arg-type,comparison-overlap]
        assert rows.answer(Question())[0] == "4 by bm25"  # type: ignore[arg-type,index]


def test_the_rows_stand_among_those_that_need_the_llms_weights() -> None:
    assert {need_of(method_named(name).group) for name in ROWS} == {"weights of the LLM"}
    assert all(method_named(name).serves_lora and not method_named(name).always for name in ROWS)


def test_an_adapter_is_trained_anew_where_its_training_reads_something_else(tmp_path: Path) -> None:
    def keys(row: str, **changes: Any) -> str:
        job, _ = make_job(tmp_path, evaluate={"methods": [row]}, **changes)
        found = job.trained_method(Trial(0), row)
        assert found is not None
        return found.key

    assert len({keys(row) for row in ROWS}) == len(ROWS) - 1
    assert keys("rag_peft_k4") == keys("peft_k0")
    other_prompts = (
        {"llm": {"max_item_tokens": 9}},
        {"llm": {"system_prompt": "Tag."}},
        {"protocol": {"pseudo_queries": 3}},
    )
    cut_or_found = {"llm": {"serve": {"max_model_len": 512}}}, {"retrieval": {"use_date": True}}
    for changes in ({"lora": {"rank": 4}}, *other_prompts, *cut_or_found):
        assert keys("oppu_k4", **changes) != keys("oppu_k4")
        assert "lora" in changes or keys("finetuned_k4", **changes) != keys("finetuned_k4")
    task_alone = {"lora": {"task_lr": 0.5}}, {"protocol": {"pseudo_queries": 3}}
    assert all(keys("peft_k4", **changes) == keys("peft_k4") for changes in task_alone)
    assert keys("task_lora_k4", lora={"lr": 0.5}) == keys("task_lora_k4") != keys("task_lora_k4", lora={"task_lr": 0.5})
    assert keys("oppu_k0", retrieval={"use_date": True}) == keys("oppu_k0")
    assert keys("oppu_k4", lora={"batch_users": 2}, train={"epochs": 3}) == keys("oppu_k4")


def test_the_rows_say_what_their_prompts_show() -> None:
    abouts = {row: method_named(row).about.partition(", after ")[2] for row in ROWS}
    assert abouts["oppu_k0"] == ""
    assert abouts["oppu_k4"] == "the 4 best history items by BM25"
    assert abouts["oppu_pag_k1"] == "a summary of the history and the best history item by BM25"
    assert [row for row in ROWS if method_named(row).summary] == ["task_lora_pag_k1", "oppu_pag_k1"]


def test_a_users_lora_on_the_tasks_is_trained_after_it(tmp_path: Path) -> None:
    job, asked = make_job(tmp_path, evaluate={"methods": ["oppu_k4"]})
    task, own = job.trained_method(Trial(0), "task_lora_k4"), job.trained_method(Trial(0), "oppu_k4")
    assert task is not None
    assert own is not None
    inputs = [found for name, found in asked["inputs"] if name == "train-method"]
    assert inputs[-1]["trained-task_lora_k4"] == task.key
    assert "trained-oppu_k4" not in inputs[-1]


def test_weights_that_lie_on_a_hub_alone_cannot_be_trained() -> None:
    with pytest.raises(UserError, match=r"llm\.serve\.source=org/model: training needs weights in a folder"):
        base_folder(Config.model_validate({"llm": {"serve": {"source": "org/model"}}}))


def test_the_numbers_of_a_users_own_are_counted_where_users_have_some(tmp_path: Path) -> None:
    (tmp_path / "users").mkdir()
    about = {"base": "b", "rank": 8, "alpha": 8, "layers": {"a.q_proj": [128, 128], "a.v_proj": [64, 128]}}
    (tmp_path / "users" / "lora.json").write_text(json.dumps(about))
    counted = {row: method_named(row).user_parameters for row in ROWS}
    assert counted["task_lora_k0"] is None
    assert counted["peft_k0"] is not None
    assert counted["peft_k0"](tmp_path) == counted["oppu_k4"](tmp_path) == 8 * (256 + 192)  # type: ignore[misc]
