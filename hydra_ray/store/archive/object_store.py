"""The objects under one URL: `s3://bucket/path`, `gs://bucket/path`, `abfs://container@account/path`, `file:///path`.

Credentials are those of the process, as the provider's own tools find them (environment, instance role, files in the
home folder). None may stand in the URL, which is printed and part of configurations.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from hydra_ray.errors import UserError
from hydra_ray.utils.atomic_io import write_atomically
from hydra_ray.utils.object_url import mistake_in

_CHUNK = 8 << 20
"""Bytes of a file that are read at a time."""
_AT_ONCE = 8
"""Files that are copied at the same time."""


class ObjectStore:
    """For many threads. Every method raises UserError, one line with the URL, for whatever the store refuses."""

    def __init__(self, url: str) -> None:
        """Asks nothing of the store. Raises UserError for a URL that is none."""
        self.url = url
        if wrong := mistake_in(url):
            raise UserError(f"archive: {wrong}")
        with self._worded("cannot be used"):
            self._fs, path = fs.FileSystem.from_uri(url)
        self._base = path.rstrip("/")

    def read(self, name: str) -> bytes | None:
        """An object's content; None: there is no such object."""
        with self._worded(f"cannot read {name}"):
            if self._fs.get_file_info(self._path(name)).type != fs.FileType.File:
                return None
            with self._fs.open_input_stream(self._path(name)) as stream:
                content: bytes = stream.read()
        return content

    def write(self, name: str, content: bytes) -> None:
        """Writes an object, whole or not at all."""
        with self._worded(f"cannot write {name}"):
            if isinstance(self._fs, fs.LocalFileSystem):
                self._make_folder(name.rpartition("/")[0])
                with write_atomically(Path(self._path(name))) as part:
                    part.write_bytes(content)
                return
            with self._fs.open_output_stream(self._path(name)) as stream:
                stream.write(content)

    def sizes(self, folder: str) -> dict[str, int]:
        """Name -> bytes of all objects under a folder."""
        base = self._path(folder)
        with self._worded(f"cannot list {folder}"):
            found = self._fs.get_file_info(fs.FileSelector(base, recursive=True, allow_not_found=True))
        return {
            f"{folder}/{info.path[len(base) + 1 :]}": int(info.size) for info in found if info.type == fs.FileType.File
        }

    def delete(self, names: Iterable[str]) -> None:
        """Deletes objects; those that are not there are left out."""
        with self._worded("cannot delete"):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    self._fs.delete_file(self._path(name))

    def delete_folder(self, folder: str) -> None:
        """Deletes all objects under a folder."""
        with self._worded(f"cannot delete {folder}"), contextlib.suppress(FileNotFoundError):
            self._fs.delete_dir(self._path(folder))

    def upload(self, source: Path, folder: str, files: Sequence[str]) -> None:
        """Copies some files of a local folder, named relative to it."""

        def copy(file: str) -> None:
            self._make_folder(f"{folder}/{file}".rpartition("/")[0])
            with (source / file).open("rb") as read, self._fs.open_output_stream(self._path(f"{folder}/{file}")) as to:
                shutil.copyfileobj(read, to, _CHUNK)

        with self._worded(f"cannot write {folder}"):
            _in_threads(copy, files)

    def download(self, folder: str, target: Path) -> None:
        """Copies all objects under a folder into a local one, which is made."""
        self.fetch({name.removeprefix(f"{folder}/"): name for name in self.sizes(folder)}, target)

    def fetch(self, objects: Mapping[str, str], target: Path) -> None:
        """Copies objects into a local folder, which is made.

        objects: name relative to the local folder -> name of the object.
        """

        def copy(file: str) -> None:
            path = target / file
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._fs.open_input_stream(self._path(objects[file])) as read, path.open("wb") as to:
                shutil.copyfileobj(read, to, _CHUNK)

        with self._worded(f"cannot fetch {len(objects)} objects"):
            target.mkdir(parents=True)
            _in_threads(copy, list(objects))

    def _path(self, name: str) -> str:
        return f"{self._base}/{name}"

    def _make_folder(self, folder: str) -> None:
        if isinstance(self._fs, fs.LocalFileSystem):
            self._fs.create_dir(self._path(folder), recursive=True)

    @contextlib.contextmanager
    def _worded(self, what: str) -> Iterator[Any]:
        """Raises what the store says as one line."""
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            line = " ".join(str(error).split())
            raise UserError(
                f"archive {self.url}: {what}: {line}; check the URL, the network and the credentials of this process"
            ) from None


def _in_threads(copy: Callable[[str], None], names: Sequence[str]) -> None:
    """Copies some files at a time. Raises what the first that fails raises."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for done in [threads.submit(copy, name) for name in names]:
            done.result()
