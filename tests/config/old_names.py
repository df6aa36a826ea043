"""Keys under their old names."""

from hydra_ray.config.renamed import RENAMED_KEYS


def renamed(path: str) -> str:
    """The dotted new name of an old key."""
    section, dot, _ = path.rpartition(".")
    return f"{section}{dot}{RENAMED_KEYS[path]}"
