"""Where keys come from: a file, which is read again while the service runs, or an environment variable."""

import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from hydra_ray import env
from hydra_ray.errors import UserError
from hydra_ray.serve.http.key_lines import checked_tenant, parse_keys
from hydra_ray.serve.http.keys import Key, Keys

logger = logging.getLogger(__name__)

REREAD_S = 2.0
"""A key that was taken out of the file opens nothing after so many seconds, and one put in works."""

REMIND_S = 60.0


def load_keys(file: str | Path | None, open_tenant: str | None, *, stored: bool = False) -> Keys:
    """The keys of `file`, or of HYDRA_RAY_SERVE_KEYS if it is None; `open_tenant`: all callers' tenant, without keys;
    stored: none, because the service's database holds them.

    Raises UserError, never with a key in it, if the file is readable by others than its owner, if a line is wrong, or
    if there are no keys and no `open_tenant`, or more than one of these.
    """
    variable = env.SERVE_KEYS.name
    value = env.serve_keys().value
    where = str(file) if file is not None else f"environment variable {variable}"
    if stored:
        if file is not None or value:
            raise UserError(f"keys_in_database: there are keys elsewhere, too ({where}): take out the one or the other")
        return Keys()
    if open_tenant is not None:
        if file is not None or value:
            raise UserError(f"allow_anonymous: there are keys ({where}): take out the one or the other")
        return Keys.open(checked_tenant(open_tenant, "tenant"))
    if file is None and not value:
        raise UserError(
            f"no API keys: name a file of tenant:key lines with `keys`, or set {variable}, or let every caller in with "
            "allow_anonymous=true"
        )
    lines = _read(Path(file)).split("\n") if file is not None else value.split(",")
    keys = parse_keys(lines, where, "line" if file is not None else "entry")
    if not keys.keys:
        raise UserError(f"{where}: holds no keys; write one tenant:key a line")
    return keys


class KeyRing:
    """The keys that count now. file: is read again every REREAD_S; None: they stay as they are.

    A file that cannot be used (gone, a wrong line, open to others) changes nothing: the keys of before count, and the
    log says why, every REMIND_S. One without any line opens to no key.
    """

    def __init__(self, keys: Keys, file: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys, self._file, self._clock = keys, file, clock
        self._read_at = float("-inf")
        self._warned_at = float("-inf")

    def find(self, authorization: str | None) -> Key | None:
        """See `hydra_ray.serve.http.keys.KeySource`; what was read is always there."""
        return self.now.find(authorization)

    @property
    def now(self) -> Keys:
        """The keys, not older than REREAD_S."""
        if self._file is not None and self._clock() - self._read_at >= REREAD_S:
            self._read_at = self._clock()
            self._reread(self._file)
        return self._keys

    def _reread(self, file: str) -> None:
        try:
            found = parse_keys(_read(Path(file)).split("\n"), file)
        except UserError as error:
            if self._clock() - self._warned_at >= REMIND_S:
                self._warned_at = self._clock()
                logger.error("%s; the keys that were read before count", error)
            return
        if found != self._keys:
            logger.warning("%s: changed, %d keys now", file, len(found.keys))
        self._keys, self._warned_at = found, float("-inf")


def _read(file: Path) -> str:
    try:
        with file.expanduser().open(encoding="utf-8") as opened:
            if _shared(os.fstat(opened.fileno())):
                raise UserError(f"{file}: others can read or change these keys; run: chmod 600 {file}")
            return opened.read()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; name a file of tenant:key lines") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: is no text; write one tenant:key a line") from None


def _shared(about: os.stat_result) -> bool:
    """Whether others can read or change the file. The group may read one that is root's: so Kubernetes mounts secrets
    for pods that do not run as root."""
    mounted = about.st_uid == 0 and os.geteuid() != 0
    others = stat.S_IRWXG | stat.S_IRWXO
    return bool(about.st_mode & (others & ~stat.S_IRGRP if mounted else others))
