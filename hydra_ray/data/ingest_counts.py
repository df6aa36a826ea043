"""Counts that workers send and the driver adds up: `counts.json`."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from hydra_ray.core.types import User
from hydra_ray.data.rejects import KEPT

SPLITS = ("train", "test")


class IngestCounts(Counter[str]):
    """Counts under flat keys such as `users/train`, which add up across workers."""

    def reject(self, reason: str) -> None:
        self[("warnings/" if reason in KEPT else "rejects/") + reason] += 1

    def user(self, user: User, why_no_questions: str = "") -> None:
        """Counts a written user. why_no_questions: as `holdout.HeldOut.why_none`."""
        self[f"users/{user.split}"] += 1
        self[f"asked/{user.split}"] += bool(user.questions)
        if why_no_questions:
            self[f"no_questions/{why_no_questions}"] += 1
        self[f"questions/{user.split}"] += len(user.questions)
        self[f"items/{user.split}"] += len(user.items)


TALLY_TYPE = pa.list_(pa.struct([("key", pa.string()), ("count", pa.int64())]))


def tally_to_table(tally: Mapping[str, int]) -> pa.Table:
    """One row: Ray Data makes a block of it, however long it is."""
    counts = [{"key": key, "count": count} for key, count in tally.items()]
    return pa.table({"tally": pa.array([counts], TALLY_TYPE)})


def tallies_from_table(table: pa.Table) -> list[IngestCounts]:
    """The inverse of `tally_to_table`, row by row."""
    return [IngestCounts({one["key"]: one["count"] for one in row}) for row in table["tally"].to_pylist()]


def counts_of(tally: Mapping[str, int], buckets: int) -> dict[str, Any]:
    """The content of `counts.json`.

    users, questions, items: by split, as written. users_with_questions: by split; no_questions: the others of own rows,
    by reason (`data.holdout.HeldOut`). repeats: item occurrences that were the same as an item kept.
    lines: of a user's own rows, usable or not. rejects: by reason, not used (`data.rejects` explains each). warnings:
    by reason, used all the same.
    """

    def section(name: str) -> dict[str, int]:
        return {key.removeprefix(f"{name}/"): n for key, n in sorted(tally.items()) if key.startswith(f"{name}/")}

    kept = {
        name: {split: tally.get(f"{name}/{split}", 0) for split in SPLITS} for name in ("users", "questions", "items")
    }
    return {
        **kept,
        "users_with_questions": {split: tally.get(f"asked/{split}", 0) for split in SPLITS},
        "no_questions": section("no_questions"),
        "repeats": tally.get("repeats", 0),
        "rejects": section("rejects"),
        "warnings": section("warnings"),
        "lines": tally.get("lines", 0),
        "buckets": buckets,
        "source_bytes": tally.get("bytes", 0),
    }
