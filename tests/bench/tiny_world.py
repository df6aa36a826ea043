"""A world for the serving bench."""

from pathlib import Path
from typing import Any

from hydra_ray.bench.serve_texts import vocabulary
from tests.training.tiny import make_encoder


def tiny_in(folder: Path) -> dict[str, Any]:
    return {"encoder": str(make_encoder(folder / "encoder", vocabulary(), 0.5)), "max_tokens": 32}
