"""Users' LoRA in a folder: a head store with one row a user, and what they are of.

lora.json    base, shape and settings
loras/       a head store of kind `lora`; users whom the base serves have no row

The head store takes LoRA as it is: fixed shapes, a checksum for each row, versions. Its spec has no place for alpha,
which is in `lora.json`. A row is all of one user's numbers, 64 KiB for the packaged LLM at rank 8 and 17 MB for a
Llama of 7 billion weights: writing one bucket takes as much memory as its users' rows.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import torch

from hydra_ray.config.lora import LoraConfig
from hydra_ray.core.hashing import stable_hash
from hydra_ray.errors import UserError
from hydra_ray.models.lora.decoder import Decoder
from hydra_ray.models.lora.peft_folder import write_lora
from hydra_ray.models.lora.shape import LoraShape, LoraWeights, shape_of
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.store.heads.spec import HeadSpec
from hydra_ray.utils.atomic_io import write_text

ABOUT, FOLDER, KIND = "lora.json", "loras", "lora"
LONGEST_NAME = 200
"""Characters of a user's part of a folder's name; a longer one is replaced by its hash."""


def begin(out: Path, base: Decoder, config: LoraConfig, seed: int, buckets: int) -> HeadStore:
    """The store in an artifact's folder: a new one, or that of an attempt that was cut short.

    Args:
        out: The artifact's folder; made where it is missing.
        base: What is trained on.
        config: Of the training.
        seed: Of the training.
        buckets: The fixed count behind user -> bucket.

    Raises:
        UserError: What is there was begun with another base or other settings.
    """
    shape = shape_of(base.model, config.rank, config.alpha, config.targets)
    about = {
        "base": base.digest,
        "seed": seed,
        "buckets": buckets,
        "rank": shape.rank,
        "alpha": shape.alpha,
        "layers": {name: list(sizes) for name, sizes in shape.layers.items()},
        "settings": config.identity(),
    }
    file = out / ABOUT
    if file.exists():
        there = _about(out)
        differing = [name for name, value in about.items() if there.get(name) != value]
        if differing:
            raise UserError(f"{file}: begun with another {differing[0]}; give another folder or remove this one")
    else:
        out.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(about, indent=2) + "\n")
    spec = HeadSpec(KIND, base.width, shape.rank, shape.arrays, base.digest, buckets)
    # A folder without a version is what a killed `create` left.
    if any((out / FOLDER / "_versions").glob("*")):
        return HeadStore.open(str(out / FOLDER), expect=spec)
    return HeadStore.create(str(out / FOLDER), spec)


class UserLoras:
    """Finished users' LoRA by user. It stays at the version of the store that it was opened at.

    Attributes:
        shape: Of every user's weights.
        store: The head store.
    """

    def __init__(self, folder: Path, shape: LoraShape, store: HeadStore) -> None:
        self.shape, self.store, self._folder = shape, store, folder

    @classmethod
    def open(cls, folder: Path, base_digest: str) -> "UserLoras":
        """What is published in an artifact's folder.

        base_digest: `Decoder.digest` of the base in use. Raises UserError for another base, a folder that is no
        artifact, or as `HeadStore`.
        """
        about = _about(folder)
        if about.get("base") != base_digest:
            raise UserError(f"{folder}: this LoRA was trained on another base ({about.get('base')}, in use is "
                            f"{base_digest}); take that base, or train the users anew")  # fmt: skip
        shape = _shape(about)
        store = HeadStore.open(str(folder / FOLDER))
        if store.spec.shapes != shape.arrays:
            raise UserError(f"{folder}: {ABOUT} and {FOLDER} do not belong together; train the users anew")
        return cls(folder, shape, store)

    def of(self, user_ids: Sequence[str]) -> list[LoraWeights | None]:
        """Each user's weights, None for those whom the base serves. Raises UserError for broken files."""
        found_N, arrays = self.store.get(user_ids)
        return [
            {name: torch.from_numpy(value[i].copy()) for name, value in arrays.items()} if found else None
            for i, found in enumerate(found_N.tolist())
        ]

    def name_of(self, user_id: str) -> str:
        """`USER@VERSION`, under which a user's LoRA is served.

        Another version after users are trained anew, as vLLM keeps prefixes by name. Characters other than letters,
        digits and `_.-~` are percent-encoded.
        """
        user = quote(user_id, safe="")
        if len(user) > LONGEST_NAME:
            user = stable_hash(user_id).hex()
        return f"{user}@{self.store.version}"

    def export(self, user_id: str, out: Path, base_name: str) -> Path | None:
        """Writes a user's LoRA as PEFT's folder `out/USER@VERSION`; None where the base serves the user.

        base_name: what the base is called where it is loaded. A folder that is there already is that version's.
        """
        (weights,) = self.of([user_id])
        return None if weights is None else write_lora(out / self.name_of(user_id), self.shape, weights, base_name)


def read_shape(folder: Path) -> LoraShape:
    """The shape of the users' weights in an artifact's folder. Raises UserError for a folder that is no artifact."""
    return _shape(_about(folder))


def _shape(about: Mapping[str, Any]) -> LoraShape:
    layers = {name: (int(d_out), int(d_in)) for name, (d_out, d_in) in about["layers"].items()}
    return LoraShape(int(about["rank"]), float(about["alpha"]), layers)


def _about(folder: Path) -> Mapping[str, Any]:
    file = folder / ABOUT
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder}: no users' LoRA there ({ABOUT} is missing); correct the path") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read ({error}); train the users anew") from None
    if not isinstance(about, dict) or not {"base", "rank", "alpha", "layers"} <= about.keys():
        raise UserError(f"{file}: not what a training writes; train the users anew")
    return about
