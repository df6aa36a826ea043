"""The command `hydra-ray init-task`."""

import os
import re
from pathlib import Path

from hydra_ray.errors import UserError
from hydra_ray.init_task.columns import look
from hydra_ray.init_task.guess import NOTHING, Given, Guess, guess
from hydra_ray.init_task.rows import MOST_ROWS, read_rows
from hydra_ray.init_task.write import config_yaml, task_yaml


def init_task(place: str, out: Path, given: Given = NOTHING, name: str | None = None, force: bool = False) -> list[str]:
    """Looks at the rows in `place` (a file, a folder or a URL), writes `NAME_task.yaml` and `NAME.yaml` into `out`.

    Args:
        place: what to look at; its first million rows.
        out: the folder, made if it is missing.
        given: columns that need no guess.
        name: of the two files (default: the name of `place`).
        force: whether files that are there may be overwritten.

    Returns:
        What was guessed and why, line by line, and what to do next.

    Raises:
        UserError: nothing to read, no guess, a file is there already.
    """
    stem = name or re.sub(r"[^A-Za-z0-9._-]+", "_", place.rstrip("/").rsplit("/", 1)[-1].split(".")[0]).strip("._-")
    if not stem or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", stem):
        raise UserError(f"--name: {stem or place!r} does not do as a file's name: give letters and digits")
    task_file, config_file = out / f"{stem}_task.yaml", out / f"{stem}.yaml"
    for file in (task_file, config_file):
        if file.exists() and not force:
            raise UserError(f"{file}: is there already: give another --name or --out, or overwrite it with --force")
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: is a file: give a folder")
    rows, columns = look(read_rows(place))
    found = guess(rows, columns, given)
    histories = columns[found.user.column].distinct.values()
    out.mkdir(parents=True, exist_ok=True)
    task_file.write_text(task_yaml(found, place, stem), encoding="utf-8")
    config_file.write_text(config_yaml(found, place, place, os.fspath(task_file), histories), encoding="utf-8")
    return [
        *_summary(found, place, rows, len(histories)),
        f"written: {task_file} and {config_file}",
        *_next(config_file),
    ]


def _summary(found: Guess, place: str, rows: int, users: int) -> list[str]:
    only = " (the first ones; a guess reads no more)" if rows == MOST_ROWS else ""
    chosen = [("user", found.user), ("id", found.item_id), ("date", found.date),
              *(("text", text) for text in found.texts), ("answer", found.answer)]  # fmt: skip
    labels = f": {', '.join(found.labels[:8])}{', …' if len(found.labels) > 8 else ''}" if found.labels else ""
    return [
        f"{place}: {rows:,} rows{only} of {users:,} users",
        *(f"{what:8}{choice.column or 'none'}: {choice.why}" for what, choice in chosen),
        f"{'kind':8}{found.kind}: {found.kind_why}{labels}",
    ]


def _next(config_file: Path) -> list[str]:
    return [
        "read both; a wrong column is named with --user, --id, --date, --text or --answer (and --force)",
        f"next: hydra-ray run --config {config_file} --dry-run",
    ]
