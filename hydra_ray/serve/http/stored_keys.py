"""Keys that a database holds for all gateways: read again and again, and what counts while it is away."""

import logging
import time
from collections.abc import Callable

from hydra_ray.errors import UserError
from hydra_ray.serve.http.key_file import REMIND_S, REREAD_S
from hydra_ray.serve.http.keys import Key, Keys, KeysUnavailableError
from hydra_ray.utils.periodic import PeriodicTask

logger = logging.getLogger(__name__)

AWAY_S = 4.0
"""Keys that were read so many seconds ago may have been joined by others: one that is not among them is not refused for
good."""
KEPT_S = 300.0
"""Keys count so many seconds after they were read, no longer."""


class StoredKeyRing:
    """See `KeySource`. For many threads.

    read: the keys that are in the store now; raises UserError while it is away. clock: seconds.
    """

    def __init__(self, read: Callable[[], Keys], clock: Callable[[], float] = time.monotonic) -> None:
        self._read, self._clock = read, clock
        self._kept = Keys(), float("-inf")  # and when they were read
        self._failed = False
        self._warned_at = float("-inf")

    def start(self) -> None:
        """Reads the keys now, and every REREAD_S until the process ends."""
        self.refresh()
        PeriodicTask(self.refresh, REREAD_S).start()

    def refresh(self) -> None:
        """Reads the keys. If that fails, those that were read before count on, KEPT_S at most; the log says so every
        REMIND_S."""
        began = self._clock()
        try:
            found = self._read()
        except UserError as error:
            self._failed = True
            if began - self._warned_at >= REMIND_S:
                self._warned_at = began
                left_s = max(0.0, self._kept[1] + KEPT_S - began)
                logger.error(
                    "API keys are not read now: %s; those that were read before count %.0f s more", error, left_s
                )
            return
        if found != self._kept[0]:
            logger.warning("API keys have changed, %d now", len(found.keys))
        self._kept, self._failed, self._warned_at = (found, began), False, float("-inf")

    def find(self, authorization: str | None) -> Key | None:
        """See `KeySource.find`."""
        keys, read_at = self._kept
        age_s = self._clock() - read_at
        found = keys.find(authorization) if age_s <= KEPT_S else None
        if found is None and authorization and (self._failed or age_s > AWAY_S):
            raise KeysUnavailableError("API keys cannot be checked now: try again")
        return found
