"""Which answers are compared with what: oracles, the published adapter, methods that lack answers."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hydra_ray.config import AdapterConfig, Config
from hydra_ray.core.labeling import Row
from hydra_ray.core.sampling import Trial
from hydra_ray.core.tasks import load_task
from hydra_ray.errors import UserError
from hydra_ray.methods.method import Adapter, method_named
from hydra_ray.pipeline.answered import EvaluatedQuestion, EvaluatedUser
from hydra_ray.pipeline.evaluation import answer_of, best_text, joined
from hydra_ray.pipeline.report_step import train_users
from hydra_ray.pipeline.stage_rows import EvalRow
from hydra_ray.report import AnswerRow


@pytest.mark.parametrize(
    ("task", "gold", "texts", "best"),
    [
        ("synthetic_tagging", "amber", ("birch", "Tag: amber", "amber"), "Tag: amber"),
        ("lamp_3", "4", ("1", "none", "5"), "5"),
        ("lamp_4", "storm over the harbour", ("sun", "storm over town", "storm over the harbour wall"),
         "storm over the harbour wall"),
        ("lamp_3", "4", (), None),
    ],
)  # fmt: skip
def test_the_best_text_of_an_oracle(task: str, gold: str, texts: tuple[str, ...], best: str | None) -> None:
    assert best_text(load_task(task), gold, texts) == best


def test_the_adapter_as_published_reads_texts_alone() -> None:
    ours = AdapterConfig(num_history_queries=5, num_samples=4, label="gold")
    paper = ours.as_published()
    assert (paper.features, paper.history_candidates, paper.num_history_queries, paper.select) == (
        False,
        False,
        0,
        "best",
    )
    assert (paper.num_samples, paper.label, paper.temperature) == (4, "gold", ours.temperature)


def test_folds_are_within_each_seed() -> None:
    protocol = Config.model_validate({"protocol": {"seeds": [3, 4], "folds": 2}}).protocol
    assert protocol.trials == (Trial(3, 0), Trial(3, 1), Trial(4, 0), Trial(4, 1))
    assert [str(trial) for trial in protocol.trials][1] == "seed 3 fold 1"
    for folds in (None, 1):
        assert protocol.model_copy(update={"folds": folds}).trials == (Trial(3), Trial(4))


def test_training_users_are_all_seeds_or_a_folds_mean() -> None:
    assert train_users([("a", "b"), ("b", "c")], False) == 3
    assert train_users([("a", "b", "c"), ("c", "d"), ("a", "d")], True) == 2


WHOLE = {
    "greedy:zero_shot": ("amber",), "greedy:pag_k0": ("amber",), "samples:bm25": ("amber", "birch"),
    "samples:hydra": ("amber", "birch"), "samples:shared": ("amber", "birch"),
}  # fmt: skip


def answered_row(texts: Mapping[str, tuple[str, ...]]) -> EvalRow:
    """A question with the texts of its calls."""
    query = Row("u", "q", "what?", "amber", (), answers=tuple(texts.values()))
    return EvalRow(query, tuple(texts), True, ("birch",), {}, {}, ())


def lacking(changes: dict[str, tuple[str, ...]], **adapter: Any) -> set[str]:
    """The methods that lack an answer of one question, with an adapter that likes the first candidate."""
    texts = WHOLE | changes
    scorer: Any = SimpleNamespace(
        scorer=SimpleNamespace(feature_width=0),
        score=lambda examples: [np.arange(len(example.candidates), 0, -1, dtype=np.float32) for example in examples],
    )
    adapters: dict[Adapter, Any] = dict.fromkeys(("hydra", "shared", "paper", "unguarded"), scorer)
    config = AdapterConfig(num_samples=2, **adapter)
    user = EvaluatedUser(load_task("synthetic_tagging"), config, "u", [answered_row(texts)], adapters)
    names = ("zero_shot", "pag_k0", "self_consistency", "hydra_adapter", "hydra_shared", "hydra_paper", "hydra")
    found = {name: answer_of(user.questions[0], method_named(name)) for name in names}
    assert all(answer == "amber" for answer, short in found.values() if not short)
    return {name for name, (_, short) in found.items() if short}


def test_a_method_lacks_what_it_was_to_choose_from() -> None:
    assert lacking({}) == set()
    assert lacking({"greedy:zero_shot": ()}) == {"zero_shot"}
    assert lacking({"samples:bm25": ("amber",)}) == {"self_consistency", "hydra_adapter"}
    assert lacking({"samples:hydra": ()}) == {"hydra", "hydra_paper"}
    # As published, the adapter does not read the answer without examples.
    assert lacking({"greedy:zero_shot": ()}, zero_shot_candidate=True) == {
        "zero_shot", "hydra_adapter", "hydra_shared", "hydra",
    }  # fmt: skip


def test_a_method_that_reads_a_call_it_does_not_make_gets_the_list_of_those_there_are() -> None:
    row = answered_row({"greedy:mine": ("amber",)})
    question = EvaluatedQuestion(load_task("synthetic_tagging"), AdapterConfig(), row, None)
    assert question.texts("greedy:mine") == ("amber",)
    with pytest.raises(UserError, match=r"reads the call 'greedy:yours'.*greedy:mine"):
        question.texts("greedy:yours")


def test_further_methods_join_the_rows_of_their_questions() -> None:
    rows = [AnswerRow(0, "u", "b", "amber", 1, {"zero_shot": "birch"}, missing=frozenset({"zero_shot"}))]
    others = [AnswerRow(0, "u", "a", "amber", 1, {"mine": "x"}),
              AnswerRow(0, "u", "b", "amber", 1, {"mine": None}, missing=frozenset({"mine"}))]  # fmt: skip
    (row,) = joined(rows, others)
    assert row.answers == {"zero_shot": "birch", "mine": None}
    assert row.missing == {"zero_shot", "mine"}
