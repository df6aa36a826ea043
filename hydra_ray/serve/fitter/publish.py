"""One user's new heads into the head stores: of both components, or of neither."""

from collections.abc import Mapping

import numpy as np

from hydra_ray.errors import UserError
from hydra_ray.inference.types import Component
from hydra_ray.serve.bundle import COMPONENTS
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.training.artifacts.user_heads import Delta


def publish(
    stores: Mapping[Component, HeadStore | None], user: str, heads: Mapping[Component, Delta | None]
) -> dict[Component, int]:
    """Puts the user's heads, reranker before adapter; None takes the user's row away. Returns component -> version.

    Components without a store are left out. Raises UserError if a store cannot be written; what was put before is taken
    back then.
    """
    versions: dict[Component, int] = {}
    undo: list[tuple[HeadStore, Delta | None]] = []
    try:
        for component in COMPONENTS:
            store = stores.get(component)
            if store is not None and component in heads:
                before = head_of(store, user)
                versions[component] = _replace(store, user, heads[component])
                undo.append((store, before))
    except UserError as error:
        for store, before in undo:
            try:
                _replace(store, user, before)
            except UserError as second:
                raise UserError(f"{error}; and the reranker's new head could not be taken back: {second}") from None
        raise
    return versions


def head_of(store: HeadStore, user: str) -> Delta | None:
    """The user's head at the store's latest version."""
    store.refresh()
    found, arrays = store.get([user])
    return {name: value[0] for name, value in arrays.items()} if found[0] else None


def _replace(store: HeadStore, user: str, delta: Delta | None) -> int:
    if delta is None:
        return store.delete([user])
    return store.put([user], {name: value[np.newaxis] for name, value in delta.items()})
