"""From a finished run to the state that a service changes (`hydra_ray.serve.state.folders`): once, before it serves.

Killed and called again it goes on: users that are there stay, heads are made anew.
"""

import contextlib
import json
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hydra_ray.core.hashing import bucket_of
from hydra_ray.core.types import HistoryItem
from hydra_ray.data.reader import read_users
from hydra_ray.errors import UserError
from hydra_ray.inference.types import Component, UserKey
from hydra_ray.llm.token_budget import prompt_budget
from hydra_ray.pipeline.ranking_examples import feature_width
from hydra_ray.serve.bundle import COMPONENTS, RunArtifacts
from hydra_ray.serve.state.binding import DATABASE, read_about, service_in_database
from hydra_ray.serve.state.folders import PREPARED, PREPARING, USERS, heads_folder
from hydra_ray.serve.state.private_files import make_private, private_files
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.serve.state.users import UserStore
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.store.heads.staged_fragments import StagedFragments
from hydra_ray.training.artifacts.trained_scorer import base_feature_width, fingerprint
from hydra_ray.training.artifacts.user_heads import FOLDER
from hydra_ray.utils.atomic_io import write_text
from hydra_ray.utils.file_lock import exclusive_lock

FORMAT = 1
"""Of the state folder."""
AT_ONCE = 64 << 20
"""Bytes of texts, or of heads, in memory at once."""

Log = Callable[[str], None]


def init_state(bundle: RunArtifacts, where: ServiceState, tenant: str, log: Log) -> None:
    """Makes the state of a run, for one tenant, unless it is there.

    Raises UserError if the folder is of another run, base, tenant or version, or cannot be written, if the run is
    broken or its bases are of another version, or if no prompt of its task can be made (see `prompt_budget`); if the
    database cannot be reached, or holds another service's users.
    """
    state = where.folder
    _check_features(bundle)
    prompt_budget(bundle.config.llm, bundle.task)
    identity = _identity(bundle, tenant)
    service = service_in_database(state, where.database)
    if (state / PREPARED).exists():
        _check(state / PREPARED, identity)
        _close_to_others(state)
        where.check_users(service, log)
        return
    try:
        with private_files(), exclusive_lock(state / ".lock", lambda line: log(f"prepare: {line} ({state})")):
            if (state / PREPARED).exists():
                _check(state / PREPARED, identity)
                return
            if (state / PREPARING).exists():
                _check(state / PREPARING, identity)
            elif (state / USERS).exists():
                raise UserError(f"{state} holds users, but {PREPARED} is missing; put the file back from a backup, or "
                                "give another folder")  # fmt: skip
            service = service_in_database(state, where.database) or uuid.uuid4().hex
            about = {**identity, DATABASE: service if where.database else None}
            write_text(state / PREPARING, json.dumps(about, indent=2))
            began = time.monotonic()
            store = where.create_users(bundle.config.data.buckets, service)
            users = _import_users(bundle, tenant, store)
            heads = {
                component: _copy_heads(bundle, component, state, store)
                for component, some in bundle.heads.items()
                if some
            }
            _name_heads(heads, store)
            store.close()
            where.check_users(service, log)
            (state / PREPARING).replace(state / PREPARED)
    except OSError as error:
        raise UserError(f"{error.filename or state}: {error.strerror}; make room, or give a folder that can be "
                        "written") from None  # fmt: skip
    head_counts = "".join(f", {copied.count()} {component} heads" for component, copied in heads.items())
    log(f"prepare: {users} users{head_counts} in {time.monotonic() - began:.1f} s ({state})")


def _close_to_others(state: Path) -> None:
    """Folders of users and heads that a copy or a backup has left open are closed; where that fails, they stay."""
    for folder in (state / USERS, *(heads_folder(state, component) for component in COMPONENTS)):
        with contextlib.suppress(OSError):
            if folder.exists():
                make_private(folder)


def _check_features(bundle: RunArtifacts) -> None:
    """Raises UserError if a base reads other numbers besides the texts than this version makes."""
    for component, base in bundle.base.items():
        has, gets = base_feature_width(base), feature_width(bundle.config, component)
        if has != gets:
            raise UserError(f"{base}: the {component} was trained on {has} features per text, this "
                            f"hydra_ray makes {gets}; run it again with this one")  # fmt: skip


def _identity(bundle: RunArtifacts, tenant: str) -> dict[str, Any]:
    """What a state folder is of."""
    base = {f"base of the {component}": fingerprint(path) for component, path in bundle.base.items()}
    heads = {f"heads of the {component}": ["/".join(path.parts[-2:]) for path in paths]
             for component, paths in bundle.heads.items()}  # fmt: skip
    return {"format": FORMAT, "run": bundle.name, "seed": bundle.seed, "tenant": tenant, **base, **heads}


def _check(file: Path, identity: Mapping[str, Any]) -> None:
    """Raises UserError unless the folder that `file` describes is of `identity`."""
    found = read_about(file)
    for name, want in identity.items():
        if found.get(name) != want:
            raise UserError(
                f"{file.parent} was made with another {name}: {found.get(name)!r} where {want!r} is to be served; give "
                "another folder, or remove this one with all that its users have added"
            )


def _import_users(bundle: RunArtifacts, tenant: str, store: UserStore) -> int:
    """Adds the run's users with all items that any of their questions could see; returns how many there are."""
    users = 0
    for batch in batches(bundle, tenant, store.buckets):
        for bucket, some in sorted(batch.items()):
            store.import_users(bucket, some)
            users += len(some)
    return users


Batch = dict[int, list[tuple[UserKey, Sequence[HistoryItem]]]]


def batches(bundle: RunArtifacts, tenant: str, buckets: int) -> Iterator[Batch]:
    """The users by the buckets of their stored ids, which are not those of the run; AT_ONCE bytes of text a batch."""
    batch: Batch = {}
    size = 0
    for user in read_users(bundle.users):
        key = UserKey(tenant, user.user_id)
        batch.setdefault(bucket_of(key.stored, buckets), []).append((key, user.items))
        size += sum(len(item.text) + len(item.corpus) + len(item.answer) for item in user.items)
        if size > AT_ONCE:
            yield batch
            batch, size = {}, 0
    if batch:
        yield batch


def _copy_heads(bundle: RunArtifacts, component: Component, state: Path, store: UserStore) -> HeadStore:
    """Makes a component's head store from all of the run's."""
    folders = [folder / FOLDER for folder in bundle.heads[component]]
    sources = [HeadStore.open(str(folder)) for folder in folders]
    base = fingerprint(bundle.base[component])
    # The last is the fit's, whose kind is what new heads will be: `bayesian_linear` is trained as `linear`, in the same
    # shapes.
    spec = replace(sources[-1].spec, base=base, buckets=store.buckets)
    for folder, source in zip(folders, sources, strict=True):
        source.spec.check(replace(source.spec, base=base, shapes=spec.shapes), str(folder))
    target = heads_folder(state, component)
    shutil.rmtree(target, ignore_errors=True)
    heads = HeadStore.create(str(target), spec)
    parts = [part for bucket in range(store.buckets) for part in _parts(sources, heads, bucket, store.keys(bucket))]
    heads.publish(parts, replace=True)
    return heads


def _parts(
    sources: Sequence[HeadStore], heads: HeadStore, bucket: int, users: Sequence[UserKey]
) -> Iterator[StagedFragments]:
    """Copies the heads of a bucket's users."""
    most = max(1, AT_ONCE // heads.spec.row_bytes)
    for start in range(0, len(users), most):
        some = users[start : start + most]
        found, arrays = newest_heads(sources, [user.user_id for user in some], heads.spec.shapes)
        if found.any():
            own = [user.stored for user, has in zip(some, found, strict=True) if has]
            yield heads.stage_heads(bucket, own, {name: array[found] for name, array in arrays.items()})


def newest_heads(
    sources: Sequence[HeadStore], users: Sequence[str], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[NDArray[np.bool_], dict[str, NDArray[np.float32]]]:
    """Who has a head, and the heads; who has several gets the last source's."""
    found = np.zeros(len(users), bool)
    arrays = {name: np.zeros((len(users), *shape), np.float32) for name, shape in shapes.items()}
    for source in sources:
        have, values = source.get(users)
        found |= have
        for name, array in arrays.items():
            array[have] = values[name][have]
    return found, arrays


def _name_heads(heads: Mapping[Component, HeadStore], store: UserStore) -> None:
    """Says of every user which head stores hold a head."""
    for bucket in range(store.buckets):
        found: dict[UserKey, dict[Component, int]] = {}
        for component, copied in heads.items():
            for user in copied.users(bucket):
                found.setdefault(UserKey.of_stored(user), {})[component] = copied.version
        if found:
            store.import_heads(bucket, found)
