from pathlib import Path

import pytest

from hydra_ray.config import TrainConfig
from hydra_ray.config.finetune import FinetuneConfig
from hydra_ray.training.finetune.finetune_job import FinetuneJob, FinetuneRows, read_rows, write_rows
from hydra_ray.training.user_lora.rows import TokenRow


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows = FinetuneRows((TokenRow((1, 2, 3), 2), TokenRow((4, 5), 1)), (TokenRow((6, 7, 8, 9), 1),))
    write_rows(rows, tmp_path / "rows.parquet")
    assert read_rows(tmp_path / "rows.parquet") == rows
    write_rows(FinetuneRows(rows.learned), tmp_path / "rows.parquet")
    assert read_rows(tmp_path / "rows.parquet").held_out == ()


@pytest.mark.parametrize(("wanted", "workers", "stage"), [(None, 1, None), (None, 2, 1), (0, 1, 0), (3, 2, 3)])
def test_the_llm_is_spread_over_several_workers(
    tmp_path: Path, wanted: int | None, workers: int, stage: int | None
) -> None:
    config = FinetuneConfig(lr=0.5, weight_decay=0.25)
    train = TrainConfig.model_validate({"zero_stage": wanted, "max_failures": 7})
    engine = FinetuneJob(tmp_path, tmp_path, config, train, "x", 0, tmp_path).engine(workers)
    assert engine.stage(encoder_trained=False, workers=workers) == stage
    assert engine.encoder_lr == engine.base_lr
    assert (engine.base_lr, engine.weight_decay, engine.max_failures) == (0.5, 0.25, 7)
