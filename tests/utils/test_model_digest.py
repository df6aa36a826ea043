from pathlib import Path

from hydra_ray.utils.model_digest import BLOCK, HASHED_WHOLE, SAMPLE, model_digest


def _write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_names_and_contents_count_and_the_place_does_not(tmp_path: Path) -> None:
    one = model_digest(_write(tmp_path / "one", {"config.json": b"{}", "model.safetensors": b"weights"}))
    assert len(one) == 16
    assert model_digest(_write(tmp_path / "two", {"model.safetensors": b"weights", "config.json": b"{}"})) == one
    assert model_digest(_write(tmp_path / "three", {"config.json": b"{}", "model.bin": b"weights"})) != one
    assert model_digest(_write(tmp_path / "four", {"config.json": b"{}", "model.safetensors": b"Weights"})) != one
    (tmp_path / "one" / ".cache").write_bytes(b"x")
    (tmp_path / "one" / "folder").mkdir()
    assert model_digest(tmp_path / "one") == one


def test_of_a_large_file_the_size_and_a_part_of_every_block_count(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    size = HASHED_WHOLE + 2 * BLOCK + 7

    def digest(at: int, length: int = size) -> str:
        with file.open("wb") as handle:  # sparse: takes no space
            handle.truncate(length)
            handle.seek(at)
            handle.write(b"1")
        return model_digest(tmp_path)

    places = [0, BLOCK, 100 * BLOCK, 100 * BLOCK + SAMPLE - 1, size - SAMPLE, size - 1]
    assert len({digest(at) for at in places}) == len(places)
    assert digest(BLOCK, size + 1) != digest(BLOCK)
    assert digest(BLOCK + SAMPLE) == digest(BLOCK + SAMPLE + 1)  # which nothing reads
