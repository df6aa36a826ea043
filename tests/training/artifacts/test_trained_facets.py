import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hydra_ray.config import ModelConfig
from hydra_ray.core.types import HistoryItem
from hydra_ray.errors import UserError
from hydra_ray.models.facets import FacetModel, FacetShape
from hydra_ray.training.artifacts.trained_facets import DESCRIPTION, WEIGHTS, TrainedFacets, save_facets

ITEM = HistoryItem("1", "text", "text", "tag", "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = FacetModel(FacetShape(6, 4, 3, 2, 8))
    torch.nn.init.normal_(model.out)
    save_facets(tmp_path, ModelConfig(), model, {})
    return tmp_path


def test_the_newest_128_items_are_read(folder: Path) -> None:
    read: list[str] = []

    def encode(texts: list[str]) -> np.ndarray:
        read.extend(texts)
        return np.ones((len(texts), 6), dtype=np.float32)

    history = [HistoryItem(f"{i}", f"text {i}", "", "tag", "") for i in range(130)]
    assert len(TrainedFacets.load(folder).scores("query", [ITEM], history, encode, False)) == 1
    assert read == ["query", "text", *(f"text {i}\ntag" for i in range(2, 130))]


def test_an_encoder_of_another_width_is_one_line(folder: Path) -> None:
    with pytest.raises(
        UserError, match=r"^mof: trained on embeddings of 6 numbers, the encoder in use gives 2: set mod"
    ):
        TrainedFacets.load(folder).scores(
            "query", [ITEM], [], lambda texts: np.ones((len(texts), 2), np.float32), False
        )


@pytest.mark.parametrize("broken", ["gone", "json", "shape", "weights"])
def test_what_cannot_be_read_is_one_line(folder: Path, broken: str) -> None:
    about = json.loads((folder / DESCRIPTION).read_text())
    if broken == "gone":
        (folder / WEIGHTS).unlink()
    elif broken == "weights":
        (folder / WEIGHTS).write_bytes(b"short")
    elif broken == "json":
        (folder / DESCRIPTION).write_text("{")
    else:
        (folder / DESCRIPTION).write_text(json.dumps({**about, "shape": {**about["shape"], "facets": 4}}))
    with pytest.raises(UserError, match=r"^mof: no trained facets in ") as error:
        TrainedFacets.load(folder)
    assert "\n" not in str(error.value)
