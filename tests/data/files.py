"""Small source files, and the whole ingest without Ray."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra_ray.config import DataConfig
from hydra_ray.core.tasks import Task, load_task
from hydra_ray.core.types import User
from hydra_ray.data.checks import check_counts, check_read
from hydra_ray.data.formats.columns import missing_columns
from hydra_ray.data.ingest_counts import IngestCounts, counts_of
from hydra_ray.data.passes import Plan, spill_sources, write_partition
from hydra_ray.data.reader import read_users
from hydra_ray.data.rejects import Reject, read_rejects
from hydra_ray.data.sources.find import find_sources
from hydra_ray.data.sources.source_reader import SourceReader
from hydra_ray.errors import UserError

NEWS = load_task("lamp_2n")
RATING = load_task("lamp_3")
HEADLINE = load_task("lamp_4")
NOTES = Task(
    name="notes",
    kind="classification",
    text_fields=("text",),
    corpus_fields=("title", "text"),
    answer_field="tag",
    instruction="Give the tag.",
    labels=("red", "BLUE sky"),
    primary_metric="accuracy",
)


def item(item_id: Any, text: str = "some text", score: Any = "5", date: Any = "2020-01-01") -> dict[str, Any]:
    """A profile item of LaMP 3."""
    return {"id": item_id, "text": text, "score": score, "date": date}


def question(question_id: Any, profile: Any = None, text: str = "fine", **more: Any) -> dict[str, Any]:
    """A record of LaMP 3, in the older layout unless `user_id` is given."""
    profile = [item(f"{question_id}-0")] if profile is None else profile
    return {"id": question_id, "input": f"What is the score? review: {text}", "profile": profile, **more}


def golds(outputs: dict[str, Any], task: str = "LaMP_3") -> dict[str, Any]:
    return {"task": task, "golds": [{"id": key, "output": value} for key, value in outputs.items()]}


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def lamp_root(root: Path, train: Any = None, train_golds: Any = None, dev: Any = None, dev_golds: Any = None) -> Path:
    """A folder in LaMP's layout. What is not given is one sound question; `dev_golds=False` leaves the file out."""
    write(root / "train_questions.json", [question("1")] if train is None else train)
    write(root / "train_outputs.json", golds({"1": "5"}) if train_golds is None else train_golds)
    write(root / "dev_questions.json", [question("2")] if dev is None else dev)
    if dev_golds is not False:
        write(root / "dev_outputs.json", golds({"2": "4"}) if dev_golds is None else dev_golds)
    return root


@dataclass
class Ingested:
    users: dict[str, User]
    rejects: list[Reject]
    counts: dict[str, Any]

    @property
    def reasons(self) -> list[tuple[str, str, str]]:
        return [(r.source, r.record, r.reason) for r in self.rejects]


def ingest_pure(root: Path, task: Task, out: Path, partitions: int = 2, checked: bool = False, **data: Any) -> Ingested:
    """What `hydra_ray.data.ingest` does, in this process; with the checks of `data.checks` if `checked`."""
    config = DataConfig.model_validate({"source": "lamp", "root": str(root), **data})
    sources = tuple(find_sources(config, root))
    plan = Plan(SourceReader(task, config.tabular), sources, out, config.buckets, partitions)
    tally = IngestCounts()
    for source in sources:
        for part in spill_sources(plan, f"{source.index:05d}", [source]):
            tally.update(part)
    if config.source == "tabular" and (missing := missing_columns(tally, task, config.tabular, sources[0].where)):
        raise UserError(missing)
    if checked:
        check_read(tally, config, task, root, sources, out)
    for partition in range(partitions):
        tally.update(write_partition(plan, partition, tally[f"partition/{partition}"]))
    counts = counts_of(tally, config.buckets)
    if checked:
        check_counts(counts, config, root, out)
    write(out / "counts.json", counts)
    users = list(read_users(out))
    assert len({user.user_id for user in users}) == len(users)
    return Ingested({user.user_id: user for user in users}, list(read_rejects(out)), counts)
