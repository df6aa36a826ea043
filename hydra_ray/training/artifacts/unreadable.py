"""What a trained model's folder that cannot be read comes out as."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from hydra_ray.errors import UserError


@contextmanager
def reading_trained(name: str, what: str, folder: Path) -> Iterator[None]:
    """Whatever is missing or broken in the folder that the block reads comes out as one UserError.

    Args:
        name: Of the method.
        what: It should find there: `retriever`, say.
        folder: Holds it.
    """
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{name}: no trained {what} in {folder} ({reason}); remove the folder and run again to train "
                        "anew") from None  # fmt: skip
