"""What the embeddings of a store are: which encoder made them and how."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

FORMAT = 1
METADATA = b"hydra_ray.embeddings"
"""Key of a fragment's Parquet metadata under which its spec stands."""


@dataclass(frozen=True, slots=True)
class EmbeddingSpec:
    """Texts that agree in all of this have the same embedding.

    Attributes:
        encoder: Identity of the encoder's weights.
        pooling: How token embeddings become one.
        max_tokens: Where texts are cut off.
        precision: Of the encoder's arithmetic.
    """

    encoder: str
    pooling: str
    max_tokens: int
    precision: str

    def folder(self, root: Path) -> Path:
        """The store's folder under `root`."""
        return root / hashlib.blake2b(json.dumps(asdict(self)).encode(), digest_size=8).hexdigest()

    def metadata(self, width: int) -> dict[bytes, bytes]:
        """What a fragment with embeddings of `width` numbers carries."""
        return {METADATA: json.dumps({"format": FORMAT, "width": width, **asdict(self)}).encode()}

    def difference(self, metadata: dict[bytes, bytes] | None, width: int | None) -> str:
        """What a fragment's metadata say against this spec, one thing; "" if nothing.

        width: of the other fragments, None where there are none.
        """
        try:
            found = json.loads((metadata or {})[METADATA])
        except (KeyError, ValueError):
            return "it does not say which encoder wrote it"
        wanted = {"format": FORMAT, **asdict(self), **({"width": width} if width is not None else {})}
        wrong = [name for name, value in wanted.items() if found.get(name) != value]
        return f"its {wrong[0]} is {found.get(wrong[0])}, here it is {wanted[wrong[0]]}" if wrong else ""
