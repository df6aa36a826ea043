"""x"""

from pathlib import Path

from hydra_ray.store.heads.head_store import HeadStore


def current(folder: Path, kind: str) -> list[Path]:
    """The files of the last version, of a kind."""
    store = HeadStore.open(str(folder))
    tracked = store._table.dataset.tracked_files(min_version=store.version).read_all().to_pylist()
    return [folder / row["path"] for row in tracked if row["type"] == kind]
