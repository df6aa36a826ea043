"""The upload to LaMP's leaderboard: predictions of finished runs, one file a task, in a zip."""

import json
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hydra_ray.core.lamp_score import TaskOutputs, check_unique
from hydra_ray.data.predictions import parse_outputs
from hydra_ray.errors import UserError
from hydra_ray.utils.atomic_io import write_atomically
from hydra_ray.utils.output_files import check_outputs

TASKS = tuple(f"LaMP_{number}" for number in range(1, 8))
"""LaMP's tasks; LaMP_2 is also called LaMP_2M (movies) or LaMP_2N (news)."""
_ID = re.compile(r"(LaMP_2)[MN]?|(LaMP_[1-7])")
_FILE = re.compile(r"(.+)_seed(-?\d+)\.json")
_DAY = (2000, 1, 1, 0, 0, 0)
"""Of every member, so that equal predictions make equal zips."""


class Packed(NamedTuple):
    """What `pack_leaderboard` wrote.

    Attributes:
        questions: Task id -> how many answers its file holds.
        missing: LaMP's tasks that no run answers; the leaderboard wants all.
        empty: Task id -> ids of the questions whose answer is empty, where there are such.
    """

    questions: dict[str, int]
    missing: tuple[str, ...]
    empty: dict[str, list[str]]


def pack_leaderboard(
    runs: Sequence[str], out: Path, method: str = "hydra", seed: int | None = None, root: Path = Path("runs")
) -> Packed:
    """Writes the zip with one `TASK.json` a run.

    Args:
        runs: Folders of finished runs, or their names under `root`.
        out: The zip; one that is there is replaced.
        method: Whose predictions, a row of the runs' result tables.
        seed: Of the runs' seeds; None where each run has one.
        root: Where runs are looked for by name.

    Raises:
        UserError: No such run, method or seed; a task that is none of LaMP's, or that two runs answer; no answer at
            all, or two of a question.
    """
    found: dict[str, tuple[str, TaskOutputs, bytes]] = {}
    files = [_predictions(run, root, method, seed) for run in runs]
    check_outputs({"--out": out}, files)
    for run, file in zip(runs, files, strict=True):
        content = file.read_bytes()
        outputs = parse_outputs(content, str(file))
        match = _ID.fullmatch(outputs.task_id)
        if match is None:
            raise UserError(f"{run}: answers {outputs.task_id}, which is no task of LaMP's; leave this run out")
        task = match[1] or match[2]
        if task in found:
            raise UserError(f"{found[task][0]} and {run}: two runs of {task}; give one of them")
        _check_answers(outputs)
        found[task] = run, outputs, content
    try:
        with write_atomically(out) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for _, (_, outputs, content) in sorted(found.items()):
                archive.writestr(zipfile.ZipInfo(f"{outputs.task_id}.json", _DAY), content, zipfile.ZIP_DEFLATED)
    except OSError as error:
        raise UserError(f"{out}: {error.strerror}; give a file that can be written") from None
    packed = [outputs for _, (_, outputs, _) in sorted(found.items())]
    empty = {
        outputs.task_id: lost
        for outputs in packed
        if (lost := [key for key, text in outputs.outputs if not text.strip()])
    }
    questions = {outputs.task_id: len(outputs.outputs) for outputs in packed}
    return Packed(questions, tuple(task for task in TASKS if task not in found), empty)


def _check_answers(outputs: TaskOutputs) -> None:
    """Raises UserError where there is no answer, or a question has two."""
    if not any(text.strip() for _, text in outputs.outputs):
        raise UserError(f"{outputs.where}: holds no answer; leave this run out")
    check_unique(outputs, "answer")


def _predictions(run: str, root: Path, method: str, seed: int | None) -> Path:
    """The file of a method's answers in a finished run."""
    places = [Path(run).expanduser(), root / run]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        raise UserError(f"{run}: there is no such run; give a run's folder, or its name under {root.absolute()}")
    files = {
        (match[1], int(match[2])): file
        for file in sorted((folder / "predictions").glob("*.json"))
        if (match := _FILE.fullmatch(file.name))
    }
    if not files:
        raise UserError(f"{run}: has no predictions yet; finish it with `hydra-ray run` first")
    seeds = sorted(its_seed for name, its_seed in files if name == method)
    if not seeds:
        there = ", ".join(sorted({name for name, _ in files}))
        raise UserError(f"{run}: no answers of a method {method!r}; there are {there}")
    if seed is None and len(seeds) > 1:
        raise UserError(f"{run}: has answers of the seeds {', '.join(map(str, seeds))}; choose one with --seed")
    if seed is not None and seed not in seeds:
        raise UserError(f"{run}: no answers of seed {seed}; there are those of {', '.join(map(str, seeds))}")
    return files[method, seeds[0] if seed is None else seed]


def described(packed: Packed, out: Path) -> str:
    """What was written, as one JSON object."""
    return json.dumps({"file": str(out), "questions": packed.questions, "missing": list(packed.missing)})
