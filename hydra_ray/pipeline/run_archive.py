"""What of a run's root is also in its archive: steps and the runs' own folders, under the same names."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra_ray.errors import UserError
from hydra_ray.pipeline.previous_run import STEPS
from hydra_ray.pipeline.step import ELSEWHERE, SCRATCH, step_name
from hydra_ray.store.archive.folders import ArchivedFolders
from hydra_ray.store.archive.object_store import ObjectStore
from hydra_ray.store.archive.snapshots import FolderSnapshots
from hydra_ray.utils.periodic import PeriodicTask

SERVING = "serving"
"""In a run's folder: what a service of it changes."""
UNFINISHED = "unfinished"
SAVE_EVERY_S = 60.0
RESUMABLE = ("train", "parts", "metrics", "result", "centres.safetensors")
"""In a step's scratch folder: what a training goes on from, Ray Train's storage first of all. The rest is made anew."""


class RunArchive:
    """Of one root. Every method raises UserError for what the store refuses; the root keeps what it has."""

    def __init__(self, url: str, root: Path, log: Callable[[str], None]) -> None:
        """Raises UserError for a URL that is none."""
        self._folders = ArchivedFolders(ObjectStore(url))
        self._root, self._log = root, log

    def check(self) -> None:
        """Writes an object and reads it: what the store refuses is found out before anything is computed."""
        self._folders.store.write("check", b"hydra_ray")
        self._folders.store.read("check")

    def fetch_step(self, key: str) -> bool:
        """Brings a finished step into the root. Returns whether the archive has it."""
        folder = self._root / "steps" / key
        found = self._folders.fetch(f"steps/{key}", folder)
        if found:
            # What another cluster has finished meanwhile.
            shutil.rmtree(folder.with_name(f"{key}.partial"), ignore_errors=True)
            self._log(f"{step_name(key)}: fetched from the archive ({key})")
        return found

    def publish_step(self, key: str) -> None:
        """Puts a finished step of the root into the archive, unless it is there."""
        if not self._folders.holds(f"steps/{key}"):
            self._folders.publish(f"steps/{key}", self._root / "steps" / key)
            self._snapshots(key, self._root / "steps" / key).remove()

    def restore_unfinished(self, key: str, folder: Path) -> None:
        """Brings what another root has done of a step. A line says where that cannot be read: the step begins anew."""
        try:
            if self._snapshots(key, folder).restore():
                self._log(f"{step_name(key)}: going on from what the archive has of it ({key})")
        except UserError as error:
            self._log(f"{error}; {step_name(key)} begins anew")

    @contextmanager
    def saving_unfinished(self, key: str, folder: Path) -> Iterator[None]:
        """Puts what a step has done into the archive, every SAVE_EVERY_S seconds in the block and when it fails.

        What the store refuses is a line of the log, once: the root has it all.
        """
        snapshots, refused = self._snapshots(key, folder), False

        def save() -> None:
            nonlocal refused
            try:
                snapshots.save()
            except (UserError, OSError) as error:
                if not refused:
                    self._log(f"{error}; what {step_name(key)} has done is in {self._root} alone")
                refused = True

        try:
            with PeriodicTask(save, SAVE_EVERY_S, at_end=False):
                yield
        except BaseException:
            save()
            raise

    def _snapshots(self, key: str, folder: Path) -> FolderSnapshots:
        return FolderSnapshots(self._folders.store, f"{UNFINISHED}/{key}", folder, is_resumable)

    def publish_run(self, name: str) -> None:
        """Puts a run's own folder into the archive, in place of what was there; a service's state stays here."""
        self._folders.publish(f"runs/{name}", self._root / name, without=[SERVING])

    def fetch_run(self, name: str) -> None:
        """Brings a run and its steps into the root, as far as they are not there.

        Raises UserError too, where neither has the run, or a step of it is gone.
        """
        folder = self._root / name
        if not folder.is_dir() and not self._folders.fetch(f"runs/{name}", folder):
            raise UserError(f"archive {self._folders.store.url}: holds no run {name!r}; finish that run first")
        steps: dict[str, str] = json.loads((folder / STEPS).read_text())
        for key in sorted(set(steps.values())):
            there = (self._root / "steps" / key).is_dir() or step_name(key) in ELSEWHERE
            if not there and not self.fetch_step(key):
                raise UserError(
                    f"archive {self._folders.store.url}: the step {key} of run {name!r} is not there; "
                    "run its configuration again"
                )


def is_resumable(file: str) -> bool:
    """Whether a file of an unfinished step, named relative to its folder, is what the step can go on from."""
    first, _, rest = file.partition("/")
    return first != SCRATCH or rest.partition("/")[0] in RESUMABLE
