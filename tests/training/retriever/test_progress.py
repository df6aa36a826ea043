from pathlib import Path

import pytest
import torch

from hydra_ray.errors import UserError
from hydra_ray.training.retriever.progress import AT, BEST, Progress, load_progress, save_progress

LEARNED = Progress(1, 2, 0.5, 0.75, 0, 3, [{"trial": 0, "epoch": 3, "loss": 0.25, "ndcg": 0.75}])


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    save_progress(tmp_path, LEARNED, {"matrix": torch.eye(2)})
    at, best = load_progress(tmp_path)
    assert at == LEARNED
    assert torch.equal(best["matrix"], torch.eye(2))


def test_while_nothing_is_better_than_the_untrained_retriever_there_are_no_weights(tmp_path: Path) -> None:
    save_progress(tmp_path, Progress.begin(0.5), {})
    assert load_progress(tmp_path) == (Progress(0, 0, 0.5, 0.5, None, 0, []), {})


@pytest.mark.parametrize(
    ("file", "content"), [(AT, None), (AT, b"{"), (AT, b'{"trial": 1}'), (BEST, None), (BEST, b"x")]
)
def test_a_damaged_checkpoint_is_named(tmp_path: Path, file: str, content: bytes | None) -> None:
    save_progress(tmp_path, LEARNED, {"matrix": torch.eye(2)})
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(UserError, match=r"the checkpoint cannot be read .* remove it to start over") as raised:
        load_progress(tmp_path)
    assert str(tmp_path) in str(raised.value)
