"""Writes a synthetic world as files in LaMP's layout, one user at a time, in constant memory."""

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from hydra_ray.config import SynthConfig
from hydra_ray.core.tasks import load_task
from hydra_ray.errors import UserError
from hydra_ray.synth.scene import NOISE
from hydra_ray.synth.world import SynthItem, SynthUser, attainable, make_user, maker_of, user_id_of
from hydra_ray.utils.atomic_io import write_text

QUESTION = {
    "tagging": "Which tag would this person give to the following note? text: ",
    "rating": "What is the score of the following review on a scale of 1 to 5? text: ",
    "headline": "Generate a headline for the following article text: ",
}
_PROGRESS_EVERY = 500


@dataclass(frozen=True, slots=True)
class WorldSummary:
    """What was written; `world.json` holds the same.

    attainable: metric -> the best that anyone can reach (see `attainable`). covered: share of dev questions that have
    at least one matching item in the history. items, questions: totals over all users.
    """

    task: str
    seed: int
    users: int
    train_users: int
    dev_users: int
    items: int
    questions: int
    covered: float
    noise: float
    attainable: dict[str, float]
    synth: dict[str, Any]


def is_train(user_id: str, train_share: float) -> bool:
    """Whether a user is a training user: by a hash of the id, so it stays the same however many users there are.

    Salted, so that it is independent of the user's bucket.
    """
    digest = hashlib.blake2b(user_id.encode(), digest_size=8, salt=b"split").digest()
    return int.from_bytes(digest, "little") < train_share * 2**64


class _JsonList:
    """A JSON list written element by element, one a line, between a head and a tail."""

    def __init__(self, file: TextIO, head: str = "[", tail: str = "]") -> None:
        self._file, self._tail, self._first = file, tail, True
        file.write(head)

    def add(self, row: dict[str, Any]) -> None:
        self._file.write(("\n" if self._first else ",\n") + json.dumps(row))
        self._first = False

    def close(self) -> None:
        self._file.write("\n" + self._tail + "\n")


def question_rows(user: SynthUser, answer_field: str) -> list[dict[str, Any]]:
    """A user's rows of `*_questions.json`; every question carries the whole history as its profile."""
    profile = [{"id": i.item_id, "text": i.text, answer_field: i.answer, "date": i.date} for i in user.items]
    return [
        {
            "id": q.item_id,
            "user_id": user.user_id,
            "date": q.date,
            "input": QUESTION[user.task] + q.text,
            "profile": profile,
        }
        for q in user.questions
    ]


def oracle(config: SynthConfig, user_id: str) -> SynthUser:
    """The user with this id of a world written from `config`, hidden taste included: for tests and the bench.

    Raises UserError if no such user was written.
    """
    digits = user_id.removeprefix("u")
    index = int(digits) if digits.isdigit() else -1
    if not 0 <= index < config.users or user_id != user_id_of(index):
        raise UserError(f"{user_id!r} is no user of this synthetic world of {config.users} users")
    return make_user(config.task, config.seed, index, config.items, config.questions)


def _covered(user: SynthUser, questions: tuple[SynthItem, ...]) -> int:
    return sum(bool(user.matching(question)) for question in questions)


def write_world(config: SynthConfig, out: Path, progress: Callable[[int, int], None] | None = None) -> WorldSummary:
    """Write `{train,dev}_{questions,outputs}.json` and `world.json` into the folder `out` (made if missing).

    One user is in memory at a time. Files are written under temporary names and renamed at the end, `world.json` last:
    where it exists, the rest is complete. `progress(done, users)` is called now and then and at the end.
    Raises UserError if `out` cannot be written to.
    """
    maker_of(config.task)
    answer_field = load_task(f"synthetic_{config.task}").answer_field or "answer"
    lamp_id = f"synthetic_{config.task}"
    names = [f"{split}_{kind}.json" for split in ("train", "dev") for kind in ("questions", "outputs")]
    totals = {"train": 0, "dev": 0, "items": 0, "questions": 0, "dev_questions": 0, "covered": 0}
    try:
        out.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            files = {n: stack.enter_context((out / f"{n}.{os.getpid()}.tmp").open("w")) for n in names}
            lists = {
                n: _JsonList(f) if "questions" in n else _JsonList(f, f'{{"task": "{lamp_id}", "golds": [', "]}")
                for n, f in files.items()
            }
            for index in range(config.users):
                user = make_user(config.task, config.seed, index, config.items, config.questions)
                split = "train" if is_train(user.user_id, config.train_share) else "dev"
                for row in question_rows(user, answer_field):
                    lists[f"{split}_questions.json"].add(row)
                for question in user.questions:
                    lists[f"{split}_outputs.json"].add({"id": question.item_id, "output": question.answer})
                totals[split] += 1
                totals["items"] += len(user.items)
                totals["questions"] += len(user.questions)
                if split == "dev":
                    totals["dev_questions"] += len(user.questions)
                    totals["covered"] += _covered(user, user.questions)
                if progress is not None and index % _PROGRESS_EVERY == 0:
                    progress(index, config.users)
            for rows in lists.values():
                rows.close()
        summary = WorldSummary(
            task=config.task,
            seed=config.seed,
            users=config.users,
            train_users=totals["train"],
            dev_users=totals["dev"],
            items=totals["items"],
            questions=totals["questions"],
            covered=round(totals["covered"] / max(1, totals["dev_questions"]), 4),
            noise=NOISE,
            attainable={name: round(value, 4) for name, value in attainable(config.task).items()},
            synth=config.model_dump(mode="json"),
        )
        for name in names:
            os.replace(out / f"{name}.{os.getpid()}.tmp", out / name)
        write_text(out / "world.json", json.dumps(asdict(summary), indent=2) + "\n")
    except OSError as error:
        with suppress(OSError):  # the next attempt has another process id
            for name in names:
                (out / f"{name}.{os.getpid()}.tmp").unlink(missing_ok=True)
        raise UserError(f"{out}: cannot write the synthetic world there: {error.strerror}; mend that and run the same "
                        "command again") from None  # fmt: skip
    if progress is not None:
        progress(config.users, config.users)
    return summary
