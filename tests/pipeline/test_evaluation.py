"""Which answers are compared with what: oracles, the published adapter, methods that lack answers."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hydra_ray.config import AdapterConfig, Config
from hydra_ray.core.sampling import Trial
from hydra_ray.core.tasks import load_task
from hydra_ray.core.types import HistoryItem, Question, User
from hydra_ray.inference.reranking import rank
from hydra_ray.methods.method import method_named
from hydra_ray.methods.question import Adapter
from hydra_ray.pipeline.answered import EvaluatedUser
from hydra_ray.pipeline.eval_prompts import EvalPrompts
from hydra_ray.pipeline.evaluation import answer_of, answer_table, best_text, joined
from hydra_ray.pipeline.job import always_shown
from hydra_ray.pipeline.stage_rows import EvalRow, rows_to_table
from hydra_ray.report import AnswerRow, write_predictions
from hydra_ray.training.joint.ranking_examples import RankingExample
from tests.pipeline.answered_questions import answered_row

ITEMS = tuple(HistoryItem(str(i), f"text {i}", f"text {i}", "5", f"2020-01-0{i}") for i in range(1, 4))
USER = User("u", "test", ITEMS, (Question("a", "known", "4", (0, 1, 2)), Question("b", "unknown", None, (0, 1, 2))))


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


WHOLE = {
    "greedy:zero_shot": ("amber",), "greedy:pag_k0": ("amber",), "samples:bm25": ("amber", "birch"),
    "samples:hydra": ("amber", "birch"), "samples:shared": ("amber", "birch"),
}  # fmt: skip


def lacking(changes: dict[str, tuple[str, ...]], **adapter: Any) -> set[str]:
    """The methods that lack an answer of one question, with an adapter that likes the first candidate."""
    texts = WHOLE | changes
    scorer: Any = SimpleNamespace(
        scorer=SimpleNamespace(feature_width=0),
        score=lambda examples: [np.arange(len(example.candidates), 0, -1, dtype=np.float32) for example in examples],
    )
    adapters: dict[Adapter, Any] = dict.fromkeys(("hydra", "shared", "paper", "unguarded"), scorer)
    config = Config.model_validate({"adapter": {"num_samples": 2, **adapter}})
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


def test_further_methods_join_the_rows_of_their_questions() -> None:
    rows = [AnswerRow(0, "u", "b", "amber", 1, {"zero_shot": "birch"}, missing=frozenset({"zero_shot"}))]
    others = [AnswerRow(0, "u", "a", "amber", 1, {"mine": "x"}),
              AnswerRow(0, "u", "b", "amber", 1, {"mine": None}, missing=frozenset({"mine"}),
                        calls={"mine": ("greedy:mine",)})]  # fmt: skip
    (row,) = joined(rows, others)
    assert row.answers == {"zero_shot": "birch", "mine": None}
    assert row.missing == {"zero_shot", "mine"}
    assert row.calls == {"mine": ("greedy:mine",)}


def test_from_questions_to_predictions(tmp_path: Path) -> None:
    config = Config.model_validate({"data": {"task": "lamp_3", "source": "lamp", "root": "."}})
    maker = EvalPrompts(config.model_dump(mode="json"), 0, None, always_shown(), {}, {}, None)
    maker._rerankers = {"hydra": plain, "shared": plain}
    table = rows_to_table(EvalRow, maker([USER]), {USER.user_id: 0})
    rows = table.to_pylist()
    assert [(row["query_id"], row["gold"]) for row in rows] == [("a", "4"), ("b", "")]
    for folder in ("queries", "answers"):
        (tmp_path / folder).mkdir()
    pq.write_table(table, tmp_path / "queries" / "0.parquet")
    answers = [
        {"row_id": row["row_id"], "bucket": 0, "texts": [["3"]] * row["n_requests"], "errors": [None], "finish": None}
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(answers), tmp_path / "answers" / "0.parquet")
    prefetched: list[list[str]] = []
    read: set[str] = set()

    def score(examples: list[RankingExample]) -> list[Any]:
        read.update(text for example in examples for text in (example.query, *example.candidates))
        return [zeros(len(example.candidates)) for example in examples]

    adapter: Any = SimpleNamespace(scorer=SimpleNamespace(feature_width=0), score=score, prefetch=prefetched.append)
    task = load_task("lamp_3")
    answered = answer_table(task, 0, tmp_path, always_shown(), {"hydra": adapter, "shared": adapter}, Config())
    assert [(row.question_id, row.gold, row.scored) for row in answered] == [("a", "4", True), ("b", "", False)]
    for row in answered:
        assert row.calls["user_majority"] == ()
        assert row.calls["pag_k1"] == ("greedy:pag_k1",)
        assert row.calls["self_consistency"] == row.calls["hydra_adapter"] == ("samples:bm25",)
        assert row.calls["hydra"] == ("samples:hydra",)
    assert len(prefetched) == 2  # once an adapter for all users
    assert read <= set(prefetched[0])
    paths = write_predictions(tmp_path / "predictions", task, answered, "LaMP_3 of the files")
    content = json.loads(next(path for path in paths if path.name == "zero_shot_seed0.json").read_text())
    assert content == {"task": "LaMP_3 of the files", "golds": [{"id": "a", "output": "3"}, {"id": "b", "output": "3"}]}


def plain(user: User, queries: Any, found: Any) -> Any:
    return [rank(one.items, [0.0] * len(one.items)) for one in found]


def zeros(count: int) -> Any:
    import numpy as np

    return np.zeros(count, np.float32)
