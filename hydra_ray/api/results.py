"""A finished run read back: its metrics and its answers as pandas tables."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_ray.core.tasks import Task
from hydra_ray.errors import UserError
from hydra_ray.pipeline.previous_run import STEPS
from hydra_ray.serve.bundle import read_config

if TYPE_CHECKING:
    import pandas as pd

EVALUATE = "evaluate "
"""How the labels of the steps begin that hold the answers of the methods that every run shows."""


def load_run(run: str | Path) -> "Run":
    """A finished run.

    Args:
        run: Its folder, or its name under `runs`.

    Raises:
        UserError: If there is no such run, or it is not finished, or was made by another version of hydra_ray.

    Example:
        >>> run = load_run("runs/quickstart")
        >>> list(run.metrics().columns)
        ['accuracy', 'macro_f1']
        >>> list(run.predictions().columns)
        ['seed', 'user', 'question', 'text', 'gold', 'answer', 'candidates']
    """
    for folder in (Path(run).expanduser(), Path("runs") / run):
        if folder.is_dir():
            return Run(folder.resolve())
    raise UserError(f"{run}: there is no such run; give a run's folder, or its name under {Path('runs').absolute()}")


class Run:
    """A finished run.

    Attributes:
        folder: Where its report and predictions lie.
        name: Its name: the folder's.
        report: The whole of report.json.
        config: What it was run with.
        task: What its questions are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, folder.name
        self.report, self.config = read_config(folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @cached_property
    def task(self) -> Task:
        """What the questions are."""
        from hydra_ray.core.tasks import load_task

        return load_task(self.config.data.task)

    def metrics(self) -> "pd.DataFrame":
        """One row a method, one column a metric, all seeds' questions together."""
        import pandas as pd

        return pd.DataFrame.from_dict(self.report["methods"], orient="index").rename_axis("method")

    def predictions(self, method: str = "hydra") -> "pd.DataFrame":
        """What a method answered.

        Args:
            method: A row of `metrics()`.

        Returns:
            One row a question: `seed`, `user`, `question`, `text`, `gold` (None where it is not known), `answer` (as it
            was scored) and `candidates` (the distinct texts that the method chose from; the answer alone where it does
            not choose).

        Raises:
            UserError: For a method that the run does not have, and where files of the run are gone.
        """
        import pandas as pd

        rows = list(self._predictions(method))
        columns = ["seed", "user", "question", "text", "gold", "answer", "candidates"]
        found = pd.DataFrame(rows, columns=columns)
        return found.sort_values(["seed", "user", "question"], ignore_index=True)

    def _predictions(self, method: str) -> Iterator[dict[str, Any]]:
        from hydra_ray.methods.method import method_named
        from hydra_ray.pipeline.answered import EvaluatedQuestion
        from hydra_ray.pipeline.llm_rows import all_rows
        from hydra_ray.pipeline.stage_rows import EvalRow

        answers: dict[int, Mapping[str, str]] = {}
        for seed, folder in self._evaluated(method):
            if seed not in answers:
                answers[seed] = self._answers(method, seed)
                choices = method_named(method).candidates
            for of_user in all_rows(EvalRow, folder):
                user = of_user.user_id
                for row in of_user.rows:
                    query, known = row.query, answers[seed]
                    answer = known[query.query_id if query.query_id in known else f"{user}:{query.query_id}"]
                    question = EvaluatedQuestion(self.task, self.config, row, None)
                    yield {
                        "seed": seed,
                        "user": user,
                        "question": query.query_id,
                        "text": query.text,
                        "gold": query.gold if row.scored else None,
                        "answer": answer,
                        "candidates": [answer] if choices is None else list(choices(question)),
                    }

    def _evaluated(self, method: str) -> Iterator[tuple[int, Path]]:
        """(seed, folder) of the steps that hold a method's answers."""
        from hydra_ray.pipeline.step_settings import method_stage

        file = self.folder / STEPS
        steps: Mapping[str, str] = json.loads(file.read_text()) if file.exists() else {}
        own = f"{method_stage(method)} "
        begin = own if any(label.startswith(own) for label in steps) else EVALUATE
        found = [(label, self.folder.parent / "steps" / key) for label, key in steps.items() if label.startswith(begin)]
        lost = [folder for _, folder in found if not (folder / "queries").exists()]
        if lost or not found:
            raise UserError(f"{lost[0] if lost else file}: is missing; finish the run with `hydra-ray run` first")
        for label, folder in found:
            yield int(label.split()[2]), folder

    def _answers(self, method: str, seed: int) -> dict[str, str]:
        """Question, or `user:question`, -> the method's answer."""
        folder = self.folder / "predictions"
        file = folder / f"{method}_seed{seed}.json"
        if not file.exists():
            there = _methods(sorted(folder.glob(f"*_seed{seed}.json")), seed)
            raise UserError(f"{self.folder}: no answers of a method {method!r}; there are {', '.join(there) or 'none'}")
        return {row["id"]: row["output"] for row in json.loads(file.read_text())["golds"]}


def _methods(files: Sequence[Path], seed: int) -> list[str]:
    return [file.name.removesuffix(f"_seed{seed}.json") for file in files]
