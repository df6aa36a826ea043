"""What a head store holds, written into the store itself: of which base, of which kind, of which shapes."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from hydra_ray.errors import UserError

FORMAT = 1  # of the columns and the metadata; a reader refuses a higher one
_KEY = b"hydra_ray.head_store"
_DTYPES = ("float32", "float16")


@dataclass(frozen=True)
class HeadSpec:
    """The heads of one component, reranker or adapter.

    kind, width, rank: as in `hydra_ray.models.heads`. shapes: name -> shape of one user's array, in the stored order.
    base: fingerprint of the base weights the heads were fitted on. buckets: the fixed count behind user -> bucket.
    dtype: `float32`, or `float16`: half the bytes, rounded to nearest even, a relative error of at most 2^-11 for
    magnitudes from 6.1e-5 to 65,504 (below, an absolute error of at most 3e-8; above, `put` refuses).

    Raises UserError for a dtype or shapes that cannot be stored.
    """

    kind: str
    width: int
    rank: int
    shapes: Mapping[str, tuple[int, ...]]
    base: str
    buckets: int
    dtype: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "shapes", {name: tuple(shape) for name, shape in self.shapes.items()})
        if self.dtype not in _DTYPES:
            raise UserError(f"head store: dtype {self.dtype!r} is not one of {', '.join(_DTYPES)}")
        if self.size < 1 or self.buckets < 1:
            raise UserError(f"head store: heads of kind {self.kind!r} hold {self.size} numbers in {self.buckets} "
                            "buckets; a store needs at least one of each")  # fmt: skip

    @property
    def size(self) -> int:
        """Numbers stored per user."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def row_bytes(self) -> int:
        """Bytes of one user's values."""
        return self.size * (4 if self.dtype == "float32" else 2)

    @property
    def digest(self) -> str:
        """Says of a part which spec it was written for."""
        return hashlib.blake2b(json.dumps(asdict(self)).encode(), digest_size=8).hexdigest()

    def check(self, expected: "HeadSpec", where: str) -> None:
        """Raises UserError that names the first field in which this spec (of `where`) is not the expected one.

        The dtype may differ: values are float32 once read.
        """
        for field in fields(self):
            have, want = getattr(self, field.name), getattr(expected, field.name)
            if have != want and field.name != "dtype":
                what = {"base": "another base", "kind": "another head kind"}.get(field.name, f"another {field.name}")
                raise UserError(
                    f"{where} holds heads of {what}: {have!r} where {want!r} is asked for; point to the store of this "
                    "model, or fit the users anew into another folder"
                )

    def to_metadata(self) -> dict[bytes, bytes]:
        """The Arrow schema metadata of a store."""
        return {_KEY: json.dumps({"format": FORMAT, "spec": asdict(self)}).encode()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[bytes, bytes] | None, where: str) -> "HeadSpec":
        """Reads `to_metadata`. Raises UserError if `where` is no head store."""
        try:
            return cls(**json.loads((metadata or {})[_KEY])["spec"])
        except (KeyError, ValueError, TypeError):
            raise UserError(f"{where} is a Lance dataset but no head store; correct the path") from None


def check_format(metadata: Mapping[bytes, bytes] | None, where: str) -> None:
    """Raises UserError for a store that a newer version of hydra_ray wrote, which may mean all else differently."""
    try:
        written = int(json.loads((metadata or {})[_KEY])["format"])
    except (KeyError, ValueError, TypeError):
        return  # no head store, or broken: the reader's own error says so
    if written > FORMAT:
        raise UserError(
            f"{where} was written by a newer version of hydra_ray (store format {written}, this one reads up to "
            f"{FORMAT}); upgrade hydra_ray to read it"
        )
