"""Steps addressed by content: a step's folder carries a hash of its config and its inputs; done means a no-op.

root/steps/NAME-HASH.partial/   while it works; a killed step finds its own unfinished work here
root/steps/NAME-HASH/           when it is done, with manifest.json
"""

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from hydra_ray.utils.file_lock import exclusive_lock
from hydra_ray.version import __version__

MANIFEST = "manifest.json"
SCRATCH = "scratch"
"""Sub-folder of a step for what only an unfinished step needs; removed when the step is done."""

STEP_VERSIONS = {
    "synth": 2,
    "ingest": 4,
    "encode-histories": 1,
    "label": 5,
    "encode-reranker": 1,
    "train-reranker": 5,
    "tune-reranker": 2,
    "fit-reranker": 7,
    "topics": 2,
    "generate": 7,
    "encode-adapter": 1,
    "train-adapter": 7,
    "tune-adapter": 2,
    "fit-adapter": 9,
    "summarise": 4,
    "summarise-users": 1,
    "evaluate": 6,
    "method": 3,
    "ask-training": 1,
    "train-method": 1,
    "oracles": 3,
    "features": 2,
}
"""What a step's output means: raise a number when the same config and inputs give another output. `features` are the
fits' kept features, which are a step of no run."""

LONG = ("train-reranker", "train-adapter", "fit-reranker", "fit-adapter", "train-method")
"""Steps that may compute for hours: an archive has snapshots of what they have done so far. Of the others it has the
LLM's answers, at least."""

ELSEWHERE = ("encode-histories", "encode-reranker", "encode-adapter")
"""Steps whose output is not in their folder: embeddings, which `cache/embeddings` keeps for all runs of a root."""


class StepArchive(Protocol):
    """Where steps are kept besides their root. Methods raise UserError."""

    def fetch_step(self, key: str) -> bool:
        """Brings a finished step into the root. Returns whether there is one."""
        ...

    def publish_step(self, key: str) -> None:
        """Keeps a finished step of the root."""
        ...

    def restore_unfinished(self, key: str, folder: Path) -> None:
        """Makes the folder of an unfinished step, which is not there, what is kept of it, if anything is."""
        ...

    def saving_unfinished(self, key: str, folder: Path) -> AbstractContextManager[object]:
        """Keeps what is in the folder of an unfinished step, now and then while the block runs and when it fails."""
        ...


@dataclass(frozen=True)
class StepResult:
    """A finished step: its folder, its manifest, and whether it had been done before."""

    path: Path
    manifest: dict[str, Any]
    reused: bool

    @property
    def key(self) -> str:
        """NAME-HASH: what a step that reads this one puts into its own hash."""
        return self.path.name


def step_key(name: str, code: int, config: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """NAME-HASH. code: the version of the step's meaning, see `STEP_VERSIONS`."""
    text = json.dumps({"code": code, "config": config, "inputs": inputs}, sort_keys=True, default=str)
    return f"{name}-{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"


def step_name(key: str) -> str:
    """NAME of NAME-HASH."""
    return key.rpartition("-")[0]


def run_step(
    root: Path,
    name: str,
    code: int,
    config: Mapping[str, Any],
    inputs: Mapping[str, str],
    work: Callable[[Path], Mapping[str, Any] | None],
    log: Callable[[str], None],
    archive: StepArchive | None = None,
) -> StepResult:
    """Does a step unless it is done. `work(folder)` writes the output into `folder` and returns counts.

    The folder appears under its final name only when everything in it is there, manifest included. Where another run
    under the same root is at the same step, this one waits for it. archive: has the step, too, when this returns.
    """
    make_root(root)
    key = step_key(name, code, config, inputs)
    final = root / "steps" / key
    with exclusive_lock(root / "steps" / ".locks" / key, lambda line: log(f"{name}: {line} ({key})")):
        kept = None if name in ELSEWHERE else archive
        if not (final / MANIFEST).exists() and kept:
            kept.fetch_step(key)
        if (final / MANIFEST).exists():
            manifest = json.loads((final / MANIFEST).read_text())
            log(f"{name}: done before ({key})")
            result = StepResult(final, manifest, True)
        else:
            about = {"step": name, "key": key, "code": code, "config": dict(config), "inputs": dict(inputs)}
            result = _do(final, about, work, log, kept if name in LONG else None)
        if kept:
            kept.publish_step(key)
        return result


def make_root(root: Path) -> None:
    """Makes a run's root, which will hold histories and answers, for its own account alone (0700); one that is there
    keeps its mode, so that a folder for several accounts can be made first."""
    if not root.exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        root.mkdir(mode=0o700, exist_ok=True)


def _do(
    final: Path,
    about: Mapping[str, Any],
    work: Callable[[Path], Mapping[str, Any] | None],
    log: Callable[[str], None],
    archive: StepArchive | None,
) -> StepResult:
    """`work`, begun or continued; its folder gets `about` with counts, seconds and versions as manifest.

    archive: has what is unfinished, too.
    """
    name, key = about["step"], about["key"]
    partial = final.with_name(key + ".partial")
    if archive and not partial.exists():
        archive.restore_unfinished(key, partial)
    resumed = partial.exists()
    (partial / SCRATCH).mkdir(parents=True, exist_ok=True)
    log(f"{name}: {'continuing' if resumed else 'starting'} ({key})")
    spent_file = partial / SCRATCH / "seconds"
    began = time.monotonic()
    try:
        with archive.saving_unfinished(key, partial) if archive else contextlib.nullcontext():
            counts = work(partial) or {}
    finally:
        seconds = time.monotonic() - began + (float(spent_file.read_text()) if spent_file.exists() else 0.0)
        # On a full disk the seconds are lost, not the error that says so.
        with contextlib.suppress(OSError):
            if partial.exists():
                (partial / SCRATCH).mkdir(exist_ok=True)
                spent_file.write_text(str(seconds))
    shutil.rmtree(partial / SCRATCH, ignore_errors=True)
    manifest = {
        **about,
        "counts": dict(counts),
        "seconds": round(seconds, 3),
        "versions": versions(),
    }
    (partial / MANIFEST).write_text(json.dumps(manifest, indent=2, default=str))
    partial.rename(final)
    log(f"{name}: done in {seconds:.1f} s")
    return StepResult(final, manifest, False)


def versions() -> dict[str, str]:
    """Versions of what computed an output."""
    found = {"hydra_ray": __version__}
    for package in ("ray", "torch", "transformers", "deepspeed", "pyarrow"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def fingerprint(files: Iterable[Path], root: Path) -> dict[str, str]:
    """Name under `root` -> hash of the content, of each file."""
    found = {}
    for file in sorted(files):
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=8))
        found[str(file.relative_to(root))] = digest.hexdigest()
    return found
