"""Where an encoder comes from."""

from pathlib import Path

import pytest

from hydra_ray.config import Config, ModelConfig
from hydra_ray.methods.method import method_named
from hydra_ray.models.encoder_source import encoder_identity, spec_of


def test_a_folder_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    found = []
    for name, weights in (("a", b"1" * 9), ("b", b"1" * 9), ("c", b"2" * 9)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(weights)
        found.append(encoder_identity(str(tmp_path / name)))
    assert found[0] == found[1] != found[2]
    (tmp_path / "a" / "model.safetensors").write_bytes(b"other")
    assert encoder_identity(str(tmp_path / "a")) != found[0]  # it is read again
    assert encoder_identity("some/hub-id") == "some/hub-id"
    assert spec_of(ModelConfig()).encoder == encoder_identity("minilm")


@pytest.mark.parametrize("name", ["ropg_kd_k4", "rspg_pre", "rspg_post"])
def test_what_a_method_learns_does_not_depend_on_where_its_encoder_lies(name: str, tmp_path: Path) -> None:
    found = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "model.safetensors").write_bytes(b"weights")
        config = Config.model_validate({"model": {"encoder": str(tmp_path / place)}})
        reads = method_named(name).train_reads
        assert reads is not None
        found.append(reads(config))
    assert found[0] == found[1]
    assert str(tmp_path) not in str(found[0])
