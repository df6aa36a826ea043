"""The rows of the mixture of facets in a run: one training, calls that others have paid for. No Ray, no training."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from hydra_ray.config import Config, ModelConfig
from hydra_ray.core.sampling import Trial, UserSample
from hydra_ray.core.tasks import load_task
from hydra_ray.core.types import User, user_to_row
from hydra_ray.errors import UserError
from hydra_ray.llm.mapper import append_answers
from hydra_ray.llm.types import Completion, call_key
from hydra_ray.methods.method import method_named
from hydra_ray.models.facets import FacetModel, FacetShape
from hydra_ray.pipeline.cost_bounds import _Evaluate
from hydra_ray.pipeline.eval_prompts import EvalPrompts
from hydra_ray.pipeline.llm_rows import MakeBatch
from hydra_ray.pipeline.method_training import TrainingRun
from hydra_ray.pipeline.stage_prompts import LabelPrompts
from hydra_ray.training.artifacts.trained_facets import save_facets
from tests.pipeline.fitted_world import users, write_users
from tests.pipeline.step_keys import make_job
from tests.pipeline.test_eval_prompts import USER, asked
from tests.training.tiny import make_encoder

ROWS = ("mof_k1", "mof_k4")


def facets(folder: Path, trained: bool) -> Path:
    torch.manual_seed(0)
    model = FacetModel(FacetShape(2, 4, 3, 2, 8))
    if trained:
        torch.nn.init.normal_(model.out)
    folder.mkdir()
    save_facets(folder, ModelConfig(), model, {})
    return folder


def directions(texts: Any) -> Any:
    """Of other texts, other embeddings."""
    return np.array([[len(text) % 7 + 1, len(text) % 5] for text in texts], dtype=np.float32)


def key(name: str, folder: Path, user: User = USER, **changes: Any) -> str:
    """Of the call about the user's first question."""
    plain = Config.model_validate(changes).model_dump(mode="json")
    prompts = EvalPrompts(plain, 0, None, (name,), {}, {}, None, folder)
    prompts._encode = directions
    (request,) = next(iter(prompts([user])))[1].requests
    return call_key("m", request)


def test_untrained_facets_ask_what_the_retriever_has_asked(tmp_path: Path) -> None:
    folder = facets(tmp_path / "mof", trained=False)
    for k in (1, 4):
        assert key(f"mof_k{k}", folder) == asked((f"bm25_k{k}",))[f"greedy:bm25_k{k}"]


def test_facets_choose_among_what_was_retrieved(tmp_path: Path) -> None:
    folder = facets(tmp_path / "mof", trained=True)
    assert key("mof_k1", folder) != asked(("bm25_k1",))["greedy:bm25_k1"]
    # Where one item is retrieved there is nothing to choose.
    alone = {"retrieval": {"top_n": 1}, "reranker": {"top_k": 1}}
    assert key("mof_k4", folder, **alone) == asked(("bm25_k1",))["greedy:bm25_k1"]


def test_a_user_without_history_is_asked_the_question_alone(tmp_path: Path) -> None:
    folder = facets(tmp_path / "mof", trained=True)
    user = replace(USER, items=(), questions=(replace(USER.questions[0], history=()),))
    assert key("mof_k4", folder, user) == key("zero_shot", folder, user)


def test_a_dry_run_needs_nothing_learned() -> None:
    made = next(iter(_Evaluate(Config().model_dump(mode="json"), 0, ROWS)([USER])))[1]
    assert len(made.requests) == 2


def test_both_rows_share_a_training_that_reads_the_label_step(tmp_path: Path) -> None:
    def trained(row: str, **changes: Any) -> tuple[str, dict[str, str]]:
        job, steps = make_job(tmp_path, evaluate={"methods": ROWS}, **changes)
        found = job.trained_method(Trial(0), row)
        assert found is not None
        return found.key, dict(steps["inputs"])["train-method"]

    keys = {trained(row)[0] for row in ROWS}
    assert len(keys) == 1
    assert "feedback" in trained("mof_k4")[1]
    assert trained("mof_k4", facets={"top": 2})[0] not in keys
    assert trained("mof_k4", retrieval={"use_date": True})[0] not in keys
    assert trained("mof_k4", ropg={"epochs": 3})[0] in keys


def test_facets_learn_from_the_label_steps_files_and_choose_examples(tmp_path: Path) -> None:
    labels = load_task("synthetic_tagging").labels
    changes: dict[str, Any] = {
        "data": {"task": "synthetic_tagging"},
        "model": {"encoder": str(make_encoder(tmp_path / "encoder", labels, 0.5)), "max_tokens": 32},
        "retrieval": {"top_n": 4},
        "protocol": {"pseudo_queries": 2},
        "facets": {"epochs": 2, "hidden": 8},
    }
    job, _ = make_job(tmp_path, **changes)
    write_users(tmp_path / "ingest")
    everybody = {user.user_id: user for user, _ in users()}
    train = tuple(name for name, user in everybody.items() if user.split == "train")
    sample = UserSample(train, (), dict.fromkeys(train, "train"))
    config = job.config.model_dump(mode="json")
    make = MakeBatch(LabelPrompts, (config, 0, None), dict.fromkeys(train, ("train", "train")))
    queries = make(
        pa.Table.from_pylist([user_to_row(user, bucket) for user, bucket in users() if user.user_id in train])
    )
    # The LLM is right after the item that was retrieved last, and refuses after the first.
    refused, wrong = Completion((), error="HTTP 400", permanent=True), Completion(("nothing of the kind",))
    found = [
        [refused, *[wrong] * (len(row["requests"]) - 2), Completion((row["gold"],))] if row["requests"] else []
        for row in queries.to_pylist()
    ]
    answers = append_answers(queries.select(["row_id", "user_id", "bucket"]), found)
    for name, table in (("queries", queries), ("answers", answers)):
        (tmp_path / "label" / name).mkdir(parents=True)
        pq.write_table(table, tmp_path / "label" / name / "0.parquet")
    lines: list[str] = []
    run: Any = SimpleNamespace(
        task=job.run.task, config=job.config, embedding_store=tmp_path / "store", log=lines.append, ray=lambda: 0
    )
    method, trained = method_named("mof_k1"), tmp_path / "trained"
    trained.mkdir()
    assert method.train is not None
    method.train(TrainingRun(run, Trial(0), trained, tmp_path / "ingest", sample, tmp_path / "label"))
    assert [line.split(",")[0] for line in lines] == ["mof: 9 queries learned from"]
    prompts = EvalPrompts(config, 0, tmp_path / "store", ("mof_k1", "mof_k4"), {}, {}, None, trained)
    ((_, made),) = prompts([user for user in everybody.values() if user.split == "test"][:1])
    assert len(made.requests) == 2


def test_no_feedback_is_one_line(tmp_path: Path) -> None:
    train = method_named("mof_k4").train
    assert train is not None
    training: Any = SimpleNamespace(
        config=Config().model_dump(mode="json"), task=None, seed=0, folder=tmp_path, embedding_store=tmp_path,
        log=print, users=lambda: iter(()), feedback=lambda: iter(()),
    )  # fmt: skip
    with pytest.raises(UserError, match=r"^mof: the LLM has answered no training query"):
        train(training)
