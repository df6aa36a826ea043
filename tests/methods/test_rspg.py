"""RSPG's rows in a run: calls that other rows have paid for, the choice before and after. No Ray, no training."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hydra_ray.config import Config
from hydra_ray.core.labeling import Row
from hydra_ray.core.queries import PSEUDO, REAL_ROW
from hydra_ray.core.sampling import Trial, UserSample
from hydra_ray.core.tasks import Task, load_task
from hydra_ray.core.types import user_to_row
from hydra_ray.llm.mapper import append_answers
from hydra_ray.llm.types import Completion, call_key
from hydra_ray.methods import rspg
from hydra_ray.methods.method import method_named
from hydra_ray.pipeline.answered import EvaluatedQuestion
from hydra_ray.pipeline.cost_bounds import _Evaluate, _Training
from hydra_ray.pipeline.eval_prompts import EvalPrompts, TrainingPrompts
from hydra_ray.pipeline.evaluation import answer_of
from hydra_ray.pipeline.llm_rows import MakeBatch
from hydra_ray.pipeline.method_training import TrainingRun
from hydra_ray.pipeline.stage_rows import EvalRow
from hydra_ray.pipeline.step import StepResult
from hydra_ray.training.artifacts import trained_selector
from tests.pipeline.step_keys import make_job
from tests.pipeline.test_eval_prompts import USER, asked, encode

ROWS = ("zero_shot", "bm25_k4", "recency_k4", "dense_k4")


class Chooser:
    """In place of a trained selector: the retriever of a place, and what it has read."""

    def __init__(self, place: int) -> None:
        self.selector, self.chosen = self, place
        self.pool = ("none", "bm25", "recency", "dense")
        self.read: tuple[Sequence[str], Sequence[str | None] | None] = ((), None)

    def place(self, task: Task, prompts: Sequence[str], answers: Sequence[str | None] | None = None) -> int | None:
        self.read = prompts, answers
        return self.chosen if answers is None or answers[self.chosen] is not None else None


@pytest.fixture
def chooser(monkeypatch: pytest.MonkeyPatch) -> Chooser:
    made = Chooser(2)
    monkeypatch.setattr(trained_selector, "trained_selector", lambda folder, encoder: made)
    return made


def rows_of(method: str) -> Any:
    prompts = EvalPrompts(Config().model_dump(mode="json"), 0, None, (method,), {}, {}, None, Path("learned"))
    prompts._encode = encode
    return next(iter(prompts([USER])))[1]


def test_post_asks_what_the_rows_of_its_pool_have_asked() -> None:
    paid, made = asked(ROWS, encode=encode), rows_of("rspg_post")
    assert [call_key("m", request) for request in made.requests] == list(paid.values())
    assert made.row.methods == ("greedy:none", "greedy:bm25", "greedy:recency", "greedy:dense")
    # The step keeps the prompts, as the answer is chosen by them.
    assert made.row.query.candidates == tuple(request.messages[-1]["content"] for request in made.requests)


def test_pre_asks_once_after_the_retriever_that_it_chooses(chooser: Chooser) -> None:
    made = rows_of("rspg_pre")
    assert [call_key("m", request) for request in made.requests] == [asked(("recency_k4",))["greedy:recency_k4"]]
    assert len(chooser.read[0]) == 4
    assert chooser.read[1] is None


def answered(*texts: tuple[str, ...]) -> EvaluatedQuestion:
    names = ("greedy:none", "greedy:bm25", "greedy:recency", "greedy:dense")
    row = Row("u", "1", "text", "5", ("p0", "p1", "p2", "p3"), (), texts)
    return EvaluatedQuestion(
        load_task("lamp_3"), Config(), EvalRow(row, names, True, (), {}, {}, ()), None, Path("learned")
    )


def test_post_chooses_among_the_answers_and_lacks_one_where_a_call_came_back_empty(chooser: Chooser) -> None:
    method = method_named("rspg_post")
    assert answer_of(answered(("1",), ("2",), ("3",), ("4",)), method) == ("3", False)
    assert chooser.read == (["p0", "p1", "p2", "p3"], ["1", "2", "3", "4"])
    assert answer_of(answered(("1",), (), ("3",), ("4",)), method) == ("3", True)
    assert answer_of(answered((), (), (), ()), method) == (None, True)


def training_rows(methods: type = TrainingPrompts, **changes: Any) -> list[Any]:
    plain = Config.model_validate({"protocol": {"pseudo_queries": 2}, **changes}).model_dump(mode="json")
    prompts = methods(plain, 0, None, "rspg_pre")
    prompts._encode = encode
    return [made for _, made in prompts([USER])]


def test_training_queries_are_asked_after_each_retriever() -> None:
    real, *pseudo = sorted(training_rows(), key=lambda made: made.row.query.query_id.startswith(PSEUDO))[-3:]
    assert real.row.query.query_id.startswith(REAL_ROW)
    assert len(pseudo) == 2
    for made in (real, *pseudo):
        assert made.row.query.candidates == tuple(request.messages[-1]["content"] for request in made.requests)
        assert len(made.requests) == 4
    for made in pseudo:
        # No prompt shows the query's own item, nor with it the answer: its text stands there once, as the question.
        assert all(prompt.count(made.row.query.text) == 1 for prompt in made.row.query.candidates)


def test_the_real_question_of_a_training_user_costs_nothing_where_a_fold_has_tested_that_user() -> None:
    paid = asked(ROWS, encode=encode)
    first = next(
        made for made in training_rows() if made.row.query.query_id == f"{REAL_ROW}{USER.questions[0].question_id}"
    )
    assert [call_key("m", request) for request in first.requests] == list(paid.values())


def test_a_dry_run_needs_nothing_learned_and_takes_the_longest_prompt() -> None:
    plain = Config().model_dump(mode="json")
    _, made = next(iter(_Evaluate(plain, 0, ("rspg_pre", "rspg_post"))([USER])))
    pre, *pool = made.requests
    assert pre.messages == max((request.messages for request in pool), key=lambda found: len(found[-1]["content"]))
    learned = {"rspg": {"pool": ["none", "ropg_kd"]}, "evaluate": {"methods": ["rspg_pre", "ropg_kd_k4"]}}
    assert all(len(one.requests) == 2 for one in training_rows(_Training, **learned))


def steps(tmp_path: Path, **changes: Any) -> dict[str, str]:
    """Label -> key of the steps behind both rows."""
    job, _ = make_job(tmp_path, **{"evaluate": {"methods": ["rspg_pre", "rspg_post", "ropg_kd_k4"]}, **changes})
    job._chosen[Trial(0)] = UserSample(("a", "b", "c"), ("t",), {**dict.fromkeys("abc", "train"), "t": "test"})
    for name in ("rspg_pre", "rspg_post"):
        job.method(Trial(0), name)
    return {label: step.key for label, step in job.results.items()}


def test_both_rows_learn_from_one_step_of_answers(tmp_path: Path) -> None:
    found = steps(tmp_path)
    assert set(found) == {
        "ask-rspg seed 0", "train-method-rspg_pre seed 0", "train-method-rspg_post seed 0", "method-rspg_pre seed 0",
        "method-rspg_post seed 0",
    }  # fmt: skip
    assert len(set(found.values())) == 5
    # How answers are read changes nothing that is paid for, and none of RSPG-Pre.
    read = steps(tmp_path, rspg={"agreement": True})
    assert {label for label in found if found[label] != read[label]} == {
        "train-method-rspg_post seed 0", "method-rspg_post seed 0",
    }  # fmt: skip
    others = steps(tmp_path, rspg={"pool": ["none", "bm25"]})
    assert not set(found.values()) & set(others.values())


def test_a_learned_retriever_of_the_pool_is_asked_about_users_it_has_not_learned_from(tmp_path: Path) -> None:
    found = steps(tmp_path, rspg={"pool": ["none", "ropg_kd"]})
    trained = {label for label in found if label.startswith("train-method-ropg_kd")}
    assert trained == {f"train-method-ropg_kd seed 0{part}" for part in ("", " part 1", " part 2")}
    assert len({found[label] for label in trained}) == 3
    assert {label for label in found if label.startswith("ask-")} == {
        "ask-rspg seed 0 part 1",
        "ask-rspg seed 0 part 2",
    }
    job, asked_for = make_job(tmp_path, rspg={"pool": ["none", "ropg_kd"]})
    job._chosen[Trial(0)] = UserSample(("a", "b", "c"), ("t",), {**dict.fromkeys("abc", "train"), "t": "test"})
    job.method(Trial(0), "rspg_post")
    inputs = dict(asked_for["inputs"])
    assert inputs["method"]["trained-ropg_kd_k4"] == found["train-method-ropg_kd seed 0"]


def test_what_the_pool_reads_of_retrieval_is_in_the_address(tmp_path: Path) -> None:
    def asked_with(*pool: str) -> dict[str, Any]:
        job, configs = make_job(tmp_path, rspg={"pool": list(pool)})
        job.asked_training(Trial(0), "rspg_pre")
        return dict(configs["ask-training"])

    assert asked_with("none", "dense")["encoder"]["encoder"] == "minilm"
    assert "encoder" not in asked_with("none", "bm25")
    assert rspg.retrievers(Config.model_validate({"rspg": {"pool": ["none", "ropg_kd", "dense"]}})) == ("dense",)


def test_histories_are_encoded_together_where_the_pool_searches_embeddings() -> None:
    class Batch:
        """An encoder that keeps what it is told to make ready."""

        def __init__(self) -> None:
            self.ready: list[str] = []

        def __call__(self, texts: Sequence[str]) -> Any:
            return encode(texts)

        def prefetch(self, texts: Sequence[str], encode_missing: bool = False) -> None:
            assert encode_missing
            self.ready += texts

    def made_ready(prompts: Any) -> list[str]:
        prompts._encode = batch = Batch()
        prompts.prefetch([USER])
        return batch.ready

    corpus = [item.corpus for item in USER.items]
    asked_for = [question.text for question in USER.questions]
    plain = Config().model_dump(mode="json")
    assert made_ready(TrainingPrompts(plain, 0, None, "rspg_pre")) == [*corpus, *asked_for]
    assert made_ready(EvalPrompts(plain, 0, None, ("rspg_post",), {}, {}, None)) == [*corpus, *asked_for]
    assert made_ready(EvalPrompts(plain, 0, None, ("dense_k4",), {}, {}, None)) == [*corpus, *asked_for]
    words = Config.model_validate({"rspg": {"pool": ["none", "bm25"]}}).model_dump(mode="json")
    assert made_ready(TrainingPrompts(words, 0, None, "rspg_pre")) == []
    assert made_ready(EvalPrompts(plain, 0, None, ("bm25_k4",), {}, {}, None)) == []


def test_training_reads_what_the_step_has_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job, _ = make_job(tmp_path, rspg={"pool": ["none", "bm25"]}, protocol={"pseudo_queries": 1})
    me = USER.user_id
    sample = job._chosen[Trial(0)] = UserSample((me,), ("t",), {me: "train", "t": "test"})
    batches: list[MakeBatch] = []

    def ask(name: str, config: Any, inputs: Any, trial: Trial, make: type, args: Any, users: Any, *rest: Any) -> Any:
        batches.append(MakeBatch(make, args(), users))
        return StepResult(tmp_path / "asked", {}, False)

    monkeypatch.setattr(job, "_ask", ask)
    (step,) = job.asked_training(Trial(0), "rspg_post")
    (make,) = batches
    queries = make(pa.Table.from_pylist([user_to_row(replace(USER, split="train"), 3)]))
    refused = Completion((), error="HTTP 400", permanent=True)
    answers = append_answers(
        queries.select(["row_id", "user_id", "bucket"]), [[Completion(("5",)), refused]] * queries.num_rows
    )
    for name, table in (("queries", queries), ("answers", answers)):
        (step.path / name).mkdir(parents=True)
        pq.write_table(table, step.path / name / "0.parquet")
    run: Any = SimpleNamespace(task=job.run.task, config=job.config, embedding_store=tmp_path, log=print, ray=lambda: 0)
    rows = list(TrainingRun(run, Trial(0), tmp_path, tmp_path, sample, None, [step.path]).answered())
    assert sorted(row.query_id[:2] for row in rows) == ["p:"] + [REAL_ROW] * len(USER.questions)
    for row in rows:
        alone, with_items = row.candidates
        assert len(alone) < len(with_items)
        assert row.text in alone
        assert row.answers == (("5",), ())
