"""One configuration at a time works under a run's name, in whose folder its report and predictions lie."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from hydra_ray.config import Config
from hydra_ray.errors import UserError
from hydra_ray.utils.file_lock import lock_or_holder


@contextlib.contextmanager
def claim_name(root: Path, config: Config) -> Iterator[None]:
    """Keeps runs with other settings from working under this run's name until the block ends.

    The same settings may be at work several times: steps that are at one time in two runs wait for each other.

    Args:
        root: Of all runs.
        config: All of its settings count, as other settings may lead to another report.

    Raises:
        UserError: A run with other settings is at work under this name, or the root cannot be written.
    """
    digest = hashlib.sha256(config.model_dump_json().encode()).hexdigest()
    with contextlib.ExitStack() as stack:
        try:
            holder = stack.enter_context(lock_or_holder(root / "steps" / ".locks" / f"name-{config.name}", digest))
        except OSError as error:
            raise UserError(f"{root}: cannot write there: {error.strerror}; make room, or give another root") from None
        who, _, note = (holder or "").partition("\n")
        if note.strip() not in ("", digest):
            raise UserError(f"name={config.name}: a run with other settings is at work under this name ({who}): wait "
                            "until it has ended, or give this one another name")  # fmt: skip
        yield
