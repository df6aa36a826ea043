"""Users' LoRA in a folder: stored, read by user, exported."""

import json
from pathlib import Path

import pytest
import torch

from hydra_ray.config.lora import LoraConfig
from hydra_ray.errors import UserError
from hydra_ray.models.lora.decoder import Decoder, load_decoder
from hydra_ray.models.lora.peft_folder import read_lora
from hydra_ray.models.lora.shape import LoraWeights, shape_of
from hydra_ray.tiny_llm.export import WEIGHTS
from hydra_ray.training.user_lora.artifact import UserLoras, begin

CONFIG = LoraConfig(rank=4, alpha=6.0)


def stored(base: Decoder, out: Path, users: tuple[str, ...] = ("ann", "a/b@c")) -> dict[str, LoraWeights]:
    """Publishes made-up weights of users."""
    store = begin(out, base, CONFIG, 0, 2)
    shape = shape_of(base.model, CONFIG.rank, CONFIG.alpha, CONFIG.targets)
    weights = {user: {n: torch.randn(s) for n, s in shape.arrays.items()} for user in users}
    arrays = {name: torch.stack([weights[user][name] for user in users]).numpy() for name in shape.arrays}
    store.put(list(users), arrays)
    return weights


def test_read_back_by_user(base: Decoder, tmp_path: Path) -> None:
    weights = stored(base, tmp_path)
    loras = UserLoras.open(tmp_path, base.digest)
    without, ann = loras.of(["without", "ann"])
    assert without is None
    assert ann is not None
    assert ann.keys() == weights["ann"].keys()
    assert all(torch.equal(ann[name], weights["ann"][name]) for name in ann)
    assert (loras.shape.rank, loras.shape.scaling) == (4, 1.5)


def test_one_row_of_the_packaged_llm(tmp_path: Path) -> None:
    store = begin(tmp_path, load_decoder(WEIGHTS), LoraConfig(), 0, 8)
    assert (store.spec.size, store.spec.row_bytes) == (16_384, 65_536)


def test_an_export_is_named_by_user_and_version(base: Decoder, tmp_path: Path) -> None:
    weights = stored(base, tmp_path / "a")
    loras = UserLoras.open(tmp_path / "a", base.digest)
    folder = loras.export("a/b@c", tmp_path / "out", str(base.folder))
    assert folder == tmp_path / "out" / f"a%2Fb%40c@{loras.store.version}"
    shape, found = read_lora(folder, base.model)
    assert (shape.rank, shape.alpha) == (4, 6)
    assert all(torch.equal(found[name], weights["a/b@c"][name]) for name in found)
    assert loras.export("without", tmp_path / "out", "base") is None
    before = loras.name_of("ann")
    stored(base, tmp_path / "a", ("ann",))
    assert loras.name_of("ann") == before
    assert UserLoras.open(tmp_path / "a", base.digest).name_of("ann") != before
    assert len(loras.name_of("é" * 300)) < 100


def test_another_base(base: Decoder, tmp_path: Path) -> None:
    stored(base, tmp_path)
    with pytest.raises(UserError, match="was trained on another base"):
        UserLoras.open(tmp_path, "0123456789abcdef")


def test_another_attempt_with_other_settings(base: Decoder, tmp_path: Path) -> None:
    begin(tmp_path, base, CONFIG, 0, 2)
    begin(tmp_path, base, CONFIG.model_copy(update={"batch_users": 3}), 0, 2)
    with pytest.raises(UserError, match="begun with another settings"):
        begin(tmp_path, base, CONFIG.model_copy(update={"lr": 1.0}), 0, 2)
    with pytest.raises(UserError, match="begun with another seed"):
        begin(tmp_path, base, CONFIG, 1, 2)


def test_folders_that_are_none(base: Decoder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no users' LoRA there \(lora\.json is missing\)"):
        UserLoras.open(tmp_path, base.digest)
    stored(base, tmp_path)
    file = tmp_path / "lora.json"
    about = json.loads(file.read_text())
    file.write_text(json.dumps({**about, "rank": 2}))
    with pytest.raises(UserError, match="do not belong together"):
        UserLoras.open(tmp_path, base.digest)
    for text, message in (("{", "cannot be read"), ("[]", "not what a training writes")):
        file.write_text(text)
        with pytest.raises(UserError, match=message):
            UserLoras.open(tmp_path, base.digest)
