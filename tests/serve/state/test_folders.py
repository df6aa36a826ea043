from pathlib import Path

from hydra_ray.serve.state.folders import heads_folder


def test_heads_are_by_component(tmp_path: Path) -> None:
    assert heads_folder(tmp_path, "adapter") == tmp_path / "adapter.heads"
