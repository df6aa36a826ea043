"""A store's address, its spec, and versions of it whose files have been checked against their seal."""

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import TypeVar

from hydra_ray.errors import UserError
from hydra_ray.store.heads.integrity import BrokenFile, Sums, check_seal, newest_sealed, write_checksum_seal
from hydra_ray.store.heads.lance_io import Files, LanceError
from hydra_ray.store.heads.spec import HeadSpec, check_format
from hydra_ray.store.heads.table import Table, open_dataset

T = TypeVar("T")
_NEWEST = (1 << 64) - 1  # Lance names the manifest of version v after _NEWEST - v, so that the newest is listed first


class Connection:
    """Opens versions of one store. files: its raw files. spec: what it holds."""

    def __init__(self, uri: str, options: Mapping[str, str] | None, spec: HeadSpec, sums: Sums | None = None) -> None:
        """sums: files known to be whole."""
        self.uri = uri
        self.options = options
        self.spec = spec
        self.files = Files(uri, options)
        self._sums: Sums = sums or {}

    @classmethod
    def open(
        cls, uri: str, version: int | None, options: Mapping[str, str] | None, *, check: bool
    ) -> tuple["Connection", Table]:
        """The store at `uri` and a version of it (None: the latest).

        Raises UserError if there is no store, no such version, a broken manifest, or (check) another broken file.
        """
        if version is None:
            return _still_there(uri, options, lambda: cls._open(uri, None, options, check=check))
        return cls._open(uri, version, options, check=check)

    @classmethod
    def _open(
        cls, uri: str, version: int | None, options: Mapping[str, str] | None, *, check: bool
    ) -> tuple["Connection", Table]:
        try:
            dataset, schema = open_dataset(uri, version, options)
        except LanceError as error:
            raise UserError(_cannot_open(uri, version, options, error)) from None
        check_format(schema.metadata, uri)
        sums = _whole(Files(uri, options), uri, int(dataset.version), {}) if check else {}
        spec = HeadSpec.from_metadata(schema.metadata, uri)
        connection = cls(uri, options, spec, sums)
        table = Table(dataset, spec.row_bytes, connection.files)
        if check and version is None:
            connection.check_newest(table)
        return connection, table

    def latest(self, table: Table) -> Table:
        """The latest version, checked. Raises UserError if it cannot be opened."""
        return _still_there(self.uri, self.options, lambda: self._latest(table))

    def _latest(self, table: Table) -> Table:
        try:
            newest = table.latest()
        except LanceError as error:
            raise UserError(_cannot_open(self.uri, None, self.options, error)) from None
        if newest is not table:
            self._sums = _whole(self.files, self.uri, newest.version, self._sums)
            self.check_newest(newest)
        return newest

    def check_newest(self, table: Table) -> None:
        """Raises UserError if a version after the latest was sealed once: its manifest is gone."""
        sealed = newest_sealed(self.files)
        if sealed > table.version and sealed > table.latest().version:
            raise UserError(
                f"{self.uri}: the manifest of version {sealed} (_versions/{_NEWEST - sealed}.manifest) is missing; put "
                f"it back, or remove _seals/{sealed}.json to go back to version {table.latest().version}"
            )

    def broken_files(self, table: Table) -> list[BrokenFile]:
        """The sealed files of a version that are broken now."""
        return check_seal(self.files, table.version, {})[1]

    def seal(self, table: Table) -> None:
        """Seals a version. A vacuum or a newer write may have removed its files meanwhile: then it needs no seal."""
        try:
            self._sums = write_checksum_seal(self.files, table.dataset, self._sums)
        except LanceError:
            if table.latest().version == table.version:
                raise


def _still_there(uri: str, options: Mapping[str, str] | None, attempt: Callable[[], T]) -> T:
    """`attempt` at the latest version, once more for every version that has come meanwhile: a vacuum may take away what
    was the latest while it is being opened."""
    newest: int | None = -1
    while True:
        try:
            return attempt()
        except UserError:
            before, newest = newest, max(_manifests(uri, options), default=None)
            if newest is None or newest == before:
                raise


def _manifests(uri: str, options: Mapping[str, str] | None) -> dict[int, str]:
    """Version -> path of its manifest; nothing if none can be listed."""
    try:
        names = Files(uri, options).names("_versions")
    except LanceError:
        return {}
    return {_NEWEST - int(stem): name for name in names if (stem := PurePosixPath(name).stem).isdigit()}


def _whole(files: Files, uri: str, version: int, known: Sums) -> Sums:
    """The sums of a version whose files are whole, checked before Lance reads them. Raises UserError if one is not."""
    sums, broken = check_seal(files, version, known)
    if not broken:
        return sums or known
    more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
    raise UserError(f"{uri}: version {version}: {broken[0].path}{more} is broken: {broken[0].what}; "
                    f"{_remedy(broken[0].path)}")  # fmt: skip


def _remedy(path: str) -> str:
    """What to do about a broken file that is no data file."""
    if path.startswith("_indices/"):
        return "nothing is lost: rebuild the index with HeadStore.open(uri, check=False).reindex()"
    if path.startswith("_seals/"):
        return "nothing is lost: remove that file, the next write makes one"
    return "put the file back, or open an older version"


def _cannot_open(uri: str, version: int | None, options: Mapping[str, str] | None, error: LanceError) -> str:
    """What to tell a user whose store does not open."""
    paths = _manifests(uri, options)
    if not paths and "not found" in str(error):
        return f"{uri}: no head store there; fit-users makes one, or correct the path"
    if not paths:
        return f"{uri}: no head store can be opened there: {error}"
    if version is not None and version not in paths:
        return f"{uri} has no version {version} (it has {min(paths)} to {max(paths)}; vacuum removes old ones)"
    wanted = max(paths) if version is None else version
    return (
        f"{uri}: version {wanted} cannot be opened: {paths[wanted]}: {error}; put that file back, or open an older "
        f"version, or remove it and _seals/{wanted}.json to go back for good"
    )
