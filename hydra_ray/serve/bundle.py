"""What a finished run gives to serve from: its config, its bases, its heads, its users; found and checked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hydra_ray.config import Config
from hydra_ray.config.head_kinds import head_kind
from hydra_ray.core.tasks import Task, load_task
from hydra_ray.errors import UserError
from hydra_ray.inference.types import Component
from hydra_ray.pipeline.previous_run import STEPS
from hydra_ray.pipeline.step import MANIFEST
from hydra_ray.pipeline.step_settings import base_of

COMPONENTS: tuple[Component, ...] = ("reranker", "adapter")
REPORT = "report.json"


@dataclass(frozen=True)
class RunArtifacts:
    """A run to serve from. Pickles; every path is absolute.

    seed: whose training. base: component -> folder of the trained base. heads: component -> folders of users' heads
    (the training users' and the fitted ones'; those that have none are left out). tuned: component -> how strongly
    single users' heads are pulled to the shared head. users: folder of the ingested histories.
    topics: folder of the topic models, if the adapter reads them. created: when the run's report was written, in
    seconds since 1970.
    """

    name: str
    config: Config
    seed: int
    base: Mapping[Component, Path]
    heads: Mapping[Component, tuple[Path, ...]]
    tuned: Mapping[Component, dict[str, Any]]
    users: Path
    topics: Path | None = None
    created: int = 0

    @property
    def task(self) -> Task:
        """The run's task."""
        return load_task(self.config.data.task)


def find_run(root: Path, run: str) -> Path:
    """The run's folder, by path or by name under `root`. Raises UserError if there is none."""
    for folder in (Path(run).expanduser(), root.expanduser() / run):
        if folder.is_dir():
            return folder.resolve()
    raise UserError(f"--run {run}: there is no such folder, nor one of that name in {root}; give a run's folder")


def load_run_artifacts(folder: Path, seed: int | None = None) -> RunArtifacts:
    """Reads a finished run's folder. Raises UserError if it is incomplete, or of another version of hydra_ray."""
    _, config = read_config(folder)
    steps = _json(folder / STEPS, "finish it with `hydra-ray run` first")
    if config.protocol.cross_fitted:
        raise UserError(
            f"{folder}: this run tested its users fold by fold (protocol.folds={config.protocol.folds}), so each of its"
            " models leaves users out; make a run to serve with protocol.folds=null and another name under the same"
            " root: it asks again for no answer that is there"
        )
    chosen = config.protocol.seeds[0] if seed is None else seed
    if chosen not in config.protocol.seeds:
        raise UserError(
            f"seed {chosen}: the run in {folder} was made with {list(config.protocol.seeds)}; give one of them"
        )
    found = _Steps(folder, steps)
    base, heads, tuned = {}, {}, {}
    for component in COMPONENTS:
        trained, fitted = found.step(f"train-{component} seed {chosen}"), found.step(f"fit-{component} seed {chosen}")
        learned = f"tune-{component} seed {chosen}"
        # An earlier run of this name, with another kind of head, may have left one.
        tuned_by = found.step(learned) if learned in steps and head_kind(config.model.head).solver else None
        base[component] = base_of(trained, tuned_by, config.model.head)
        heads[component] = tuple(f for f in (base[component], fitted) if (f / "heads").exists())
        tuned[component] = _json(fitted / MANIFEST, "run it again")["counts"]
    read = config.adapter.reads_topics(load_task(config.data.task))
    topics = found.step(f"topics seed {chosen}") if read else None
    created = int((folder / REPORT).stat().st_mtime)
    return RunArtifacts(folder.name, config, chosen, base, heads, tuned, found.step("ingest"), topics, created)


def refitted(bundle: RunArtifacts, folder: Path) -> RunArtifacts:
    """The bases of a run with users and heads of a later one, of `fit-users --base-run`. Raises UserError if that run
    is unfinished."""
    found = _Steps(folder, _json(folder / STEPS, "finish it with `hydra-ray fit-users` first"))
    fitted = {component: found.step(f"fit-{component} seed {bundle.seed}") for component in COMPONENTS}
    # The last of a run's own is its fit's; training users keep what they were trained.
    heads = {component: (*bundle.heads[component][:-1], *([step] if (step / "heads").exists() else []))
             for component, step in fitted.items()}  # fmt: skip
    return replace(bundle, name=folder.name, heads=heads, users=found.step("ingest"))


def read_config(folder: Path) -> tuple[dict[str, Any], Config]:
    """A finished run's report and its config. Raises UserError if it is unfinished, or of another hydra_ray."""
    report = _json(folder / REPORT, "finish it with `hydra-ray run` first")
    try:
        return report, Config.model_validate(report.get("config"))
    except ValidationError as error:
        first = ".".join(str(part) for part in error.errors()[0]["loc"]) or "config"
        raise UserError(
            f"{folder / REPORT}: was made by another hydra_ray ({first}: {error.errors()[0]['msg']}); run it "
            "again with this one"
        ) from None


class _Steps:
    """The folders of a run's steps, next to the run's own."""

    def __init__(self, folder: Path, steps: Mapping[str, str]) -> None:
        self._folder, self._steps = folder, steps

    def step(self, label: str) -> Path:
        key = self._steps.get(label)
        path = self._folder.parent / "steps" / key if key else None
        if path is None or not (path / MANIFEST).exists():
            raise UserError(f"{self._folder}: its step {label!r} is missing; finish the run with `hydra-ray run` first")
        return path


def _json(file: Path, mend: str) -> dict[str, Any]:
    try:
        tree = json.loads(file.read_text())
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; the run is incomplete: {mend}") from None
    except ValueError:
        raise UserError(f"{file}: broken; {mend}") from None
    if not isinstance(tree, dict):
        raise UserError(f"{file}: broken; {mend}")
    return tree
