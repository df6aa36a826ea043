"""Buckets of users are trained once, whatever happens meanwhile."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from hydra_ray.config.lora import LoraConfig
from hydra_ray.core.hashing import bucket_of
from hydra_ray.errors import UserError
from hydra_ray.models.lora.decoder import Decoder
from hydra_ray.training.user_lora.artifact import UserLoras, begin
from hydra_ray.training.user_lora.buckets import BucketTrainer, publish, record_file, trained_file
from hydra_ray.training.user_lora.rows import LoraRow, RowTokenizer, tokenise_rows
from hydra_ray.training.user_lora.train import LoraProgress, train_users
from tests.training.user_lora.some_rows import rows_of_user

CONFIG = LoraConfig(dropout=0.2, lr=5e-3, batch_rows=4, max_tokens=200, batch_users=2)
BUCKETS = 3
ROWS = {rows[0].user_id: rows for rows in (rows_of_user(index, 1 + index % 5) for index in range(9))}
USERS = [*ROWS, "without"]


def by_bucket() -> dict[int, list[str]]:
    return {bucket: [user for user in USERS if bucket_of(user, BUCKETS) == bucket] for bucket in range(BUCKETS)}


class KilledError(Exception):
    """Stands for the end of the process."""


def train(
    base: Decoder, out: Path, killed_in: int | None = None, rows: dict[str, Sequence[LoraRow]] | None = None
) -> int:
    """One attempt; killed_in: the bucket that it does not live to read."""

    def rows_of(bucket: int) -> list[LoraRow]:
        if bucket == killed_in:
            raise KilledError
        return [row for user in by_bucket()[bucket] for row in (rows or ROWS).get(user, ())]

    trainer = BucketTrainer(base, begin(out, base, CONFIG, 0, BUCKETS), out, CONFIG, 0)
    return trainer.work(by_bucket(), rows_of)


def weights_of(base: Decoder, out: Path) -> dict[str, dict[str, torch.Tensor] | None]:
    publish(begin(out, base, CONFIG, 0, BUCKETS), out, range(BUCKETS))
    return dict(zip(USERS, UserLoras.open(out, base.digest).of(USERS), strict=True))


def test_a_killed_training_goes_on(base: Decoder, tmp_path: Path) -> None:
    assert all(by_bucket().values())
    assert train(base, tmp_path / "whole") == len(USERS)
    with pytest.raises(KilledError):
        train(base, tmp_path / "cut", killed_in=2)
    done = [bucket for bucket in range(BUCKETS) if record_file(tmp_path / "cut", bucket).exists()]
    assert 0 < len(done) < BUCKETS
    with pytest.raises(UserError, match="is not finished"):
        publish(begin(tmp_path / "cut", base, CONFIG, 0, BUCKETS), tmp_path / "cut", range(BUCKETS))
    left = sum(len(users) for bucket, users in by_bucket().items() if bucket not in done)
    assert train(base, tmp_path / "cut") == left
    whole, cut = weights_of(base, tmp_path / "whole"), weights_of(base, tmp_path / "cut")
    assert {user for user, weights in whole.items() if weights is None} == {"without"}
    tokenize = RowTokenizer(base.tokenizer, CONFIG.max_tokens)
    for number, (user, rows) in enumerate(ROWS.items()):
        expected = whole[user]
        if number % 4 == 0:
            (alone,) = train_users(base, tokenise_rows(rows, [user], tokenize), CONFIG, 0)
            expected = alone.weights
        for found in (whole[user], cut[user]):
            assert found is not None
            assert expected is not None
            assert all(torch.allclose(found[name], value, atol=1e-5) for name, value in expected.items())
    assert train(base, tmp_path / "cut") == 0


def test_a_bucket_with_other_rows_is_trained_anew(base: Decoder, tmp_path: Path) -> None:
    train(base, tmp_path)
    user = next(iter(ROWS))
    changed = {**ROWS, user: [*ROWS[user], LoraRow(user, "One more text.\n\nTag:", "drama")]}
    assert train(base, tmp_path, rows=changed) == len(by_bucket()[bucket_of(user, BUCKETS)])


def test_what_is_known_of_each_user(base: Decoder, tmp_path: Path) -> None:
    train(base, tmp_path)
    rows = [row for bucket in range(BUCKETS) for row in pq.read_table(trained_file(tmp_path, bucket)).to_pylist()]
    known = {row["user_id"]: row for row in rows}
    assert known.keys() == {*USERS}
    assert known["without"] == {
        "user_id": "without", "rows": 0, "held_out": 0, "epoch": 0, "kept_base": True,
        "loss_before": None, "loss_after": None, "train_loss": None,
    }  # fmt: skip
    for user, of_user in ROWS.items():
        assert (known[user]["rows"], known[user]["epoch"], known[user]["kept_base"]) == (len(of_user), 2, False)
        assert known[user]["train_loss"] > 0


def test_progress_counts_all_buckets(base: Decoder, tmp_path: Path) -> None:
    seen: list[LoraProgress] = []
    trainer = BucketTrainer(base, begin(tmp_path, base, CONFIG, 0, BUCKETS), tmp_path, CONFIG, 0)
    trainer.work(by_bucket(), lambda bucket: [row for u in by_bucket()[bucket] for row in ROWS.get(u, ())], seen.append)
    assert {progress.users for progress in seen} == {len(USERS)}
    assert [progress.done for progress in seen] == sorted(progress.done for progress in seen)
    assert seen[-1].done == len(USERS)


def test_a_record_that_cannot_be_read(base: Decoder, tmp_path: Path) -> None:
    train(base, tmp_path)
    record_file(tmp_path, 0).write_text("{}")
    with pytest.raises(UserError, match="remove it and run the training again"):
        train(base, tmp_path)
