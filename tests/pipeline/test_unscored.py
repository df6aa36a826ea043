"""Questions without a gold answer are answered and stand in the predictions alone."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hydra_ray.config import AdapterConfig, Config
from hydra_ray.core.tasks import load_task
from hydra_ray.core.types import HistoryItem, Question, User
from hydra_ray.inference.reranking import rank
from hydra_ray.pipeline.eval_prompts import EvalPrompts
from hydra_ray.pipeline.evaluation import answer_table
from hydra_ray.pipeline.job import always_shown
from hydra_ray.pipeline.stage_rows import EvalRow, rows_to_table
from hydra_ray.report import write_predictions
from hydra_ray.training.joint.ranking_examples import RankingExample

ITEMS = tuple(HistoryItem(str(i), f"text {i}", f"text {i}", "5", f"2020-01-0{i}") for i in range(1, 4))
USER = User("u", "test", ITEMS, (Question("a", "known", "4", (0, 1, 2)), Question("b", "unknown", None, (0, 1, 2))))


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
    answered = answer_table(task, 0, tmp_path, always_shown(), {"hydra": adapter, "shared": adapter}, AdapterConfig())
    assert [(row.question_id, row.gold, row.scored) for row in answered] == [("a", "4", True), ("b", "", False)]
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
