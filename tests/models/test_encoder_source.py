"""Where an encoder comes from."""

from pathlib import Path

from hydra_ray.config import ModelConfig
from hydra_ray.models.encoder_source import encoder_identity, spec_of


def test_a_folder_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    found = []
    for name, weights in (("a", b"1" * 9), ("b", b"1" * 9), ("c", b"2" * 9)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(weights)
        found.append(encoder_identity(str(tmp_path / name)))
    assert found[0] == found[1] != found[2]
    assert encoder_identity("some/hub-id") == "some/hub-id"
    assert spec_of(ModelConfig()).encoder == encoder_identity("minilm")
