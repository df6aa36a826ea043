"""Users' LoRA on Ray's workers is what one process trains, and is trained once."""

from pathlib import Path

import pytest
import torch

from hydra_ray.config.lora import LoraConfig
from hydra_ray.config.resources import WorkerResources
from hydra_ray.models.lora.decoder import Decoder
from hydra_ray.training.user_lora.artifact import UserLoras
from hydra_ray.training.user_lora.row_files import write_rows
from hydra_ray.training.user_lora.rows import RowTokenizer, tokenise_rows
from hydra_ray.training.user_lora.train import train_users
from hydra_ray.training.user_lora.workers import UserLoraJob, train_on_workers
from tests.data.conftest import local_ray
from tests.training.user_lora.some_rows import rows_of_user

__all__ = ["local_ray"]
CONFIG = LoraConfig(dropout=0.2, lr=5e-3, batch_rows=4, max_tokens=200, batch_users=2)
BUCKETS = 12


@pytest.mark.cluster
def test_two_workers_train_what_one_process_does_and_nothing_twice(
    base: Decoder, tmp_path: Path, local_ray: None
) -> None:
    rows = [row for index in range(6) for row in rows_of_user(index, 2 + index)]
    users = write_rows(tmp_path / "rows", rows, BUCKETS)
    assert len(users) > 2
    job = UserLoraJob(base.folder, tmp_path / "rows", tmp_path / "out", CONFIG, 0, BUCKETS, users)
    lines: list[str] = []
    wanted = WorkerResources(num_workers=2)
    train_on_workers(job, base, wanted, lines.append)
    ids = list(dict.fromkeys(row.user_id for row in rows))
    found = UserLoras.open(tmp_path / "out", base.digest).of(ids)
    alone = train_users(base, tokenise_rows(rows, ids, RowTokenizer(base.tokenizer, CONFIG.max_tokens)), CONFIG, 0)
    for weights, expected in zip(found, alone, strict=True):
        assert weights is not None
        assert expected.weights is not None
        for name, value in expected.weights.items():
            torch.testing.assert_close(weights[name], value, atol=1e-5, rtol=1e-4)
    assert lines[-1] == "LoRA of 6 of 6 users trained"
    lines.clear()
    train_on_workers(job, base, wanted, lines.append)
    assert lines[-1] == "LoRA of 6 of 6 users trained, 6 of them by an earlier run"
