"""docs/extending.md: its code is that of `examples/extending`, a retriever, a head and a method that work."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from hydra_ray import registries
from hydra_ray.config import Config, ModelConfig
from hydra_ray.core.answers.parse import parse_answer
from hydra_ray.core.metrics import score_all
from hydra_ray.core.sampling import Trial, UserSample
from hydra_ray.core.selection import self_consistency
from hydra_ray.core.tasks import load_task
from hydra_ray.core.types import HistoryItem
from hydra_ray.errors import UserError
from hydra_ray.inference.history_index import HistoryIndex
from hydra_ray.models.heads import make_head, new_head
from hydra_ray.pipeline.answered import EvaluatedQuestion
from hydra_ray.pipeline.eval_prompts import EvalPrompts
from hydra_ray.pipeline.evaluation import answer_of
from hydra_ray.pipeline.fit_buckets import FitBuckets
from hydra_ray.pipeline.fit_records import record_file
from hydra_ray.pipeline.method_training import TrainingRun
from hydra_ray.pipeline.run_context import RunContext
from hydra_ray.synth.world import make_user
from hydra_ray.training.artifacts.user_heads import new_store
from hydra_ray.utils.plugins import load_modules
from tests.docs.pages import ROOT, blocks
from tests.pipeline.fitted_world import make_config, make_fit, users, write_answers, write_base, write_users

PAGE = ROOT / "docs" / "extending.md"
FILES = sorted((ROOT / "examples" / "extending").glob("*.py"))
MOST_LINES = 32


load_modules([str(file) for file in FILES])


def test_the_page_shows_the_files_whole_and_they_are_short() -> None:
    shown = [code for language, code in blocks(PAGE) if language == "python"]
    for file in FILES:
        assert file.read_text() in shown
        assert len(file.read_text().splitlines()) <= MOST_LINES


def test_the_configuration_of_the_page_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (text,) = (code for language, code in blocks(PAGE) if language == "yaml")
    config = Config.model_validate(yaml.safe_load(text))
    order = ("retriever", "head", "method", "learned_method", "task_kind")
    assert [str(ROOT / name) for name in config.plugins] == [str(ROOT / f"examples/extending/{x}.py") for x in order]
    assert sorted(order) == [file.stem for file in FILES]


def test_the_short_method_of_the_page_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registries.METHODS, "_entries", dict(registries.METHODS._entries))
    (code,) = (code for language, code in blocks(PAGE) if language == "python" and "one_answer" in code)
    exec(code, {"__name__": "page"})
    prompted = list(EvalPrompts(dumped(), 0, None, ["newest_k3"], {}, {}, None)([USER]))
    ((_, one),) = prompted
    (request,) = one.requests
    assert one.row.methods == ("greedy:newest_k3",)
    texts = [item.text for item in USER.history_of(USER.questions[0])][-3:]
    assert all(text in request.messages[0]["content"] for text in texts)


USER = make_user("tagging", 0, 3, (14, 14), 1).to_user()


def dumped(**changes: Any) -> dict[str, Any]:
    return Config.model_validate({"adapter": {"num_samples": 3}, **changes}).model_dump(mode="json")


def test_the_retriever_prefers_the_newer_of_equal_items() -> None:
    task = load_task("synthetic_tagging")
    same = [HistoryItem(str(i), "a red fox", "a red fox", "amber", "2020") for i in range(3)]
    other = HistoryItem("x", "a blue whale", "a blue whale", "birch", "2020")
    config = Config.model_validate({"retrieval": {"method": "fading_bm25"}}).retrieval
    found = HistoryIndex([*same, other], task, config).search("fox", 4)
    assert [item.item_id for item in found.items] == ["2", "1", "0", "x"]
    assert found.scores[0] > found.scores[1] > found.scores[2] > found.scores[3] == 0
    assert found.scores[1] / found.scores[0] == pytest.approx(0.5 ** (1 / 20))


def test_the_method_asks_after_the_newest_items_and_the_users_answers_decide() -> None:
    ((_, one),) = EvalPrompts(dumped(), 0, None, ["newest_and_habit"], {}, {}, None)([USER])
    (request,) = one.requests
    assert (request.n, request.temperature, one.row.methods) == (3, 1.0, ("samples:newest",))
    history = USER.history_of(USER.questions[0])
    content = request.messages[0]["content"]
    assert [item.text in content for item in history[-5:]] == [False, True, True, True, True]
    method = registries.METHODS.get("newest_and_habit")
    config, task = Config.model_validate({"adapter": {"num_samples": 3}}), load_task("synthetic_tagging")

    def answered(texts: tuple[str, ...]) -> tuple[str | None, bool]:
        row = replace(one.row.answered([texts]), history=("birch", "birch"))
        return answer_of(EvaluatedQuestion(task, config, row, None), method)

    assert answered(("amber", "amber", "Tag: birch")) == ("birch", False)
    assert answered(("amber", "dune", "amber")) == ("amber", False)
    assert answered(("amber",)) == ("amber", True)
    assert answered(()) == (None, True)


def test_the_method_that_learns_reads_training_users_alone(tmp_path: Path) -> None:
    write_users(tmp_path / "ingest")
    write_answers(tmp_path / "labelled")
    config = make_config(tmp_path)
    config = config.model_copy(update={"data": config.data.model_copy(update={"task": "synthetic_tagging"})})
    everybody = {user.user_id: user for user, _ in users()}
    ids = {split: tuple(i for i, user in everybody.items() if user.split == split) for split in ("train", "test")}
    sample = UserSample(ids["train"], ids["test"], {i: user.split for i, user in everybody.items()})
    (tmp_path / "learned").mkdir()
    made = TrainingRun(
        RunContext(config), Trial(0), tmp_path / "learned", tmp_path / "ingest", sample, tmp_path / "labelled"
    )
    assert {row.user_id for row in made.feedback()} == {user.user_id for user in made.users()} == set(ids["train"])
    method = registries.METHODS.get("smoothed_habit")
    method.train(made)
    shares = json.loads((tmp_path / "learned" / "shares.json").read_text())
    answers = Counter(item.answer for i in ids["train"] for item in everybody[i].items)
    assert shares == pytest.approx({answer: count / answers.total() for answer, count in answers.items()})
    ((_, one),) = EvalPrompts(dumped(), 0, None, ["newest_and_habit"], {}, {}, None)([USER])
    rare = min(shares, key=lambda answer: shares[answer])

    def answered(*history: str) -> tuple[str | None, bool]:
        row = replace(one.row.answered([()]), history=history)
        return answer_of(EvaluatedQuestion(load_task("synthetic_tagging"), Config(), row, None, made.folder), method)

    assert answered() == (answers.most_common(1)[0][0], False)
    assert answered(rare, rare, rare) == (rare, False)
    with pytest.raises(UserError, match="reads `trained`, but has no `train`"):
        _ = EvaluatedQuestion(load_task("synthetic_tagging"), Config(), one.row.answered([()]), None).trained


def test_a_method_that_trains_is_not_shown_unasked() -> None:
    with pytest.raises(ValueError, match="cannot be one that every run shows"):
        replace(registries.METHODS.get("smoothed_habit"), always=True)


def test_the_head_is_the_shared_one_until_a_user_has_learned() -> None:
    torch.manual_seed(0)
    head = new_head(6, ModelConfig(head="gain", dropout=0.0))
    z_QRZ, deltas = torch.randn(2, 4, 6), head.zeros(2)
    shared = make_head("shared", 6, 1, 0.0)
    shared.load_state_dict(head.state_dict())
    assert head.kind == "gain"
    assert torch.equal(head(z_QRZ, deltas), shared(z_QRZ, {}))
    louder = {"gain": torch.ones(2, 6)}
    assert torch.allclose(head(z_QRZ, louder) - head.out.bias, 2 * (shared(z_QRZ, {}) - head.out.bias), atol=1e-6)
    # As joint training calls it: rows of the second user, then of the first.
    own = {"gain": torch.randn(2, 6)}
    swapped = {"gain": own["gain"].flip(0)}
    assert torch.allclose(head.of_users(z_QRZ, own, torch.tensor([1, 0])), head(z_QRZ, swapped), atol=1e-6)


def test_new_users_heads_are_fitted_and_stored(tmp_path: Path) -> None:
    config = make_config(tmp_path, "gain")
    write_base(tmp_path, config)
    write_answers(tmp_path / "answered")
    fit, out = make_fit(tmp_path, config, tmp_path / "answered"), tmp_path / "out"
    store = new_store(out, fit.spec(fit.scorer()))
    buckets = list(fit.by_bucket())
    FitBuckets(fit, {"l2": 0.01}, out)({"buckets": [buckets]})
    store.publish([json.loads(record_file(out, bucket).read_text()) for bucket in buckets], replace=True)
    assert store.spec.shapes == {"gain": (8,)}
    values = store.get(store.users())[1]["gain"]
    assert len(values) >= 4
    assert np.abs(values).max() > 0


def test_a_task_of_the_new_kind_is_read_by_letters_too(tmp_path: Path) -> None:
    file = tmp_path / "colours.yaml"
    file.write_text(
        "kind: multiple_choice\ntext_fields: [text]\nanswer_field: answer\ninstruction: Which? {labels}\n"
        "primary_metric: accuracy\nlabels: [red, green, blue]\n"
    )
    task = load_task(str(file))
    answers = ["b", "(C).", "The answer is red.", "d", "Answer: **b**", "green or blue"]
    assert [parse_answer(task, text) for text in answers] == ["green", "blue", "red", "", "green", ""]
    assert self_consistency(task, ["b", "green", "red"]) == "green"
    assert score_all(task, ["green", "red"], ["(b)", "c"])["accuracy"] == 0.5
    assert task.closed
    assert task.shown_instruction == "Which? red, green, blue"


def test_a_kind_that_is_nowhere_is_refused_with_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    rest = "text_fields: [text]\nanswer_field: a\ninstruction: x\nprimary_metric: mae\n"
    file.write_text(f"kind: multiple_chioce\n{rest}")
    with pytest.raises(
        UserError, match=r"t\.yaml: kind: .*no kind of task 'multiple_chioce'; did you mean 'multiple_c"
    ):
        load_task(str(file))


def test_every_name_in_the_table_of_the_page_is_there() -> None:
    rows = re.findall(r"^\| [^|]+ \| `(\w+)` \| `([\w.]+)` \| `([\w.]+)` \|$", PAGE.read_text(), re.MULTILINE)
    assert len(rows) >= 3
    for registry, key, value in rows:
        assert hasattr(registries, registry)
        section, name = key.split(".")
        assert name in Config.model_fields[section].annotation.model_fields  # type: ignore[union-attr]
        module, _, attribute = value.rpartition(".")
        assert hasattr(__import__(module, fromlist=[attribute]), attribute)
