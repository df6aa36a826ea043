"""Users' LoRA bucket by bucket: what is finished stays, so that a training that was killed goes on.

trained/bucket-N.parquet   one row per user (TRAINED_SCHEMA)
records/bucket-N.json      the bucket's part of the store and what it was made of; written last: the bucket is done
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hydra_ray.config.lora import LoraConfig
from hydra_ray.core.hashing import stable_hash
from hydra_ray.errors import UserError
from hydra_ray.models.lora.decoder import Decoder
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.training.user_lora.rows import LoraRow, RowTokenizer, UserRows, tokenise_rows
from hydra_ray.training.user_lora.train import LoraProgress, Progress, TrainedLora, train_users
from hydra_ray.utils.atomic_io import write_atomically, write_text

TRAINED_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("rows", pa.int32()),
        ("held_out", pa.int32()),
        ("epoch", pa.int32()),
        ("kept_base", pa.bool_()),
        ("loss_before", pa.float32()),
        ("loss_after", pa.float32()),
        ("train_loss", pa.float32()),
    ]
)
"""As in `TrainedLora`; kept_base: the user has no LoRA."""

RowsOf = Callable[[int], Sequence[LoraRow]]
"""A bucket's rows, each user's in order."""


class BucketTrainer:
    """Trains whole buckets, small ones together up to `config.batch_users`, and leaves them as parts of the store."""

    def __init__(
        self, base: Decoder, store: HeadStore, out: Path, config: LoraConfig, seed: int, system: str | None = None
    ) -> None:
        """store, out: see `hydra_ray.training.user_lora.artifact.begin`. system: stands before every prompt."""
        self._base, self._store, self._out, self._config, self._seed = base, store, out, config, seed
        self._tokenize = RowTokenizer(base.tokenizer, config.max_tokens, system)

    def work(self, users: Mapping[int, Sequence[str]], rows_of: RowsOf, progress: Progress | None = None) -> int:
        """Finishes buckets, those excepted that are finished already with the same rows; returns the users trained.

        Args:
            users: Bucket -> ids of its users; those without rows are counted, too.
            rows_of: Read one bucket at a time.
            progress: Called with all the users' progress after every step.

        Raises:
            UserError: As `tokenise_rows` and `train_users`; finished buckets stay.
        """
        waiting: dict[int, list[UserRows]] = {}
        done, total, trained = 0, sum(len(ids) for ids in users.values()), 0

        def finish() -> None:
            nonlocal done, trained, waiting
            count = sum(len(found) for found in waiting.values())
            self._finish(waiting, _shifted(progress, done, total))
            done, trained, waiting = done + count, trained + count, {}

        for bucket, ids in users.items():
            found = tokenise_rows(rows_of(bucket), ids, self._tokenize)
            if _made_of(self._out, bucket) == fingerprint(found):
                done += len(found)
                continue
            waiting[bucket] = found
            if sum(bool(user.rows) for found in waiting.values() for user in found) >= self._config.batch_users:
                finish()
        finish()
        return trained

    def _finish(self, waiting: Mapping[int, list[UserRows]], progress: Progress | None) -> None:
        everyone = [user for users in waiting.values() for user in users]
        trained = {found.user_id: found for found in
                   train_users(self._base, everyone, self._config, self._seed, progress)}  # fmt: skip
        for bucket, users in waiting.items():
            self._write(bucket, [trained[user.user_id] for user in users], fingerprint(users))

    def _write(self, bucket: int, trained: Sequence[TrainedLora], made_of: str) -> None:
        """One bucket's LoRA, what is known of its users, and last its record; nothing of it is published yet."""
        own = [found for found in trained if found.weights is not None]
        arrays = {
            name: np.stack([found.weights[name].numpy() for found in own if found.weights]) if own
            else np.zeros((0, *shape), np.float32)
            for name, shape in self._store.spec.shapes.items()
        }  # fmt: skip
        part = self._store.stage_heads(bucket, [found.user_id for found in own], arrays)
        record, table = record_file(self._out, bucket), trained_file(self._out, bucket)
        for file in (record, table):
            file.parent.mkdir(exist_ok=True)
        rows = pa.Table.from_pylist([_known(found) for found in trained], schema=TRAINED_SCHEMA)
        with write_atomically(table) as unfinished:
            pq.write_table(rows, unfinished, compression="zstd")
        write_text(record, json.dumps({"made_of": made_of, "part": part}))


def publish(store: HeadStore, out: Path, buckets: Sequence[int]) -> int:
    """Publishes these buckets, which all must be finished, as all that the store holds; returns its version.

    Raises UserError for a bucket that is not finished, or as `HeadStore.publish`.
    """
    missing = [bucket for bucket in buckets if not record_file(out, bucket).exists()]
    if missing:
        raise UserError(f"{out}: bucket {missing[0]} is not finished ({len(missing)} of {len(buckets)} are not); run "
                        "the training again, it goes on from there")  # fmt: skip
    return store.publish([_record(out, bucket)["part"] for bucket in buckets], replace=True)


def fingerprint(users: Sequence[UserRows]) -> str:
    """Says whether a bucket's users and rows are those that they were."""
    parts = [(user.user_id, *((row.ids, row.prompt) for row in user.rows)) for user in users]
    return stable_hash(*parts).hex()


def record_file(out: Path, bucket: int) -> Path:
    """There when the bucket is done."""
    return out / "records" / f"bucket-{bucket:06d}.json"


def trained_file(out: Path, bucket: int) -> Path:
    """What is known of a bucket's users."""
    return out / "trained" / f"bucket-{bucket:06d}.parquet"


def _made_of(out: Path, bucket: int) -> str | None:
    return _record(out, bucket)["made_of"] if record_file(out, bucket).exists() else None


def _record(out: Path, bucket: int) -> dict[str, Any]:
    file = record_file(out, bucket)
    try:
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return {"made_of": record["made_of"], "part": record["part"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} cannot be read ({error}); remove it and run the training again") from None


def _known(found: TrainedLora) -> dict[str, Any]:
    known = {name: getattr(found, name) for name in TRAINED_SCHEMA.names if name != "kept_base"}
    return {**known, "kept_base": found.weights is None}


def _shifted(progress: Progress | None, done: int, total: int) -> Progress | None:
    """Tells of a part's progress as that of all."""
    if progress is None:
        return None
    return lambda part: progress(LoraProgress(done + part.done, total, part.loss))
