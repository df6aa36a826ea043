"""An earlier run that a later one builds on: which steps it made, by label."""

import json
from pathlib import Path

from hydra_ray.errors import UserError
from hydra_ray.pipeline.step import MANIFEST, StepResult
from hydra_ray.utils.atomic_io import write_text

STEPS = "steps.json"


def write_steps(folder: Path, steps: dict[str, str]) -> None:
    """Adds label -> key of the steps of one invocation to those in the run's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / STEPS
    known = json.loads(file.read_text()) if file.exists() else {}
    write_text(file, json.dumps({**known, **steps}, indent=2))


class PreviousRun:
    """The steps of an earlier run, whose root must be this one's. folder: the run's."""

    def __init__(self, root: Path, run: str) -> None:
        """run: its name or folder. Raises UserError if there is no such run."""
        self._root, self.name = root, run
        self.folder = (root / run if (root / run).is_dir() else Path(run).expanduser()).resolve()
        file = self.folder / STEPS
        if not file.exists():
            raise UserError(f"fit.base_run: {file} is missing; give the name or folder of a run that fitted users")
        self._steps: dict[str, str] = json.loads(file.read_text())

    def __contains__(self, label: str) -> bool:
        """Whether the run has made a step of that label."""
        return label in self._steps

    def step(self, label: str) -> StepResult:
        """The step of that label. Raises UserError if the run has not made it, or it is gone."""
        key = self._steps.get(label)
        path = self._root / "steps" / key if key else None
        if path is None or not (path / MANIFEST).exists():
            raise UserError(f"fit.base_run: run {self.name} has no finished step {label!r}; finish that run first")
        return StepResult(path, json.loads((path / MANIFEST).read_text()), True)
