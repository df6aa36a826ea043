"""Bringing a service's users up to a later run's, while it serves: new items, and the heads that were fitted in bulk.

For the history that grows elsewhere: `hydra-ray fit-users --base-run RUN` fits the users whose history has changed, and
`hydra-ray state update` gives their items and heads to the service of RUN. What the service's users have changed
themselves stays: an item or a user that was deleted there does not come back, and who has other items by now than the
later run is fitted by the service.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from hydra_ray.core.types import HistoryItem
from hydra_ray.data.reader import read_users
from hydra_ray.errors import UserError
from hydra_ray.inference.types import Component, UserKey
from hydra_ray.serve.bundle import COMPONENTS, RunArtifacts, load_run_artifacts, refitted
from hydra_ray.serve.state.binding import read_about, service_in_database
from hydra_ray.serve.state.folders import PREPARED, heads_folder
from hydra_ray.serve.state.init_state import batches, newest_heads
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.serve.state.users import UserStore
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.training.artifacts.user_heads import FOLDER
from hydra_ray.utils.atomic_io import write_text

UPDATED = "updated.json"
"""File of a state folder: the users of the run that it was last brought up to, as a folder of ingested histories."""


@dataclass(frozen=True)
class StateUpdate:
    """Users and heads of a later run, on their way into a state.

    Attributes:
        store: The service's users.
        heads: The service's head stores.
        sources: The later run's, its fit's last.
        add_users: Whether users that the service does not know are added.
    """

    store: UserStore
    heads: Mapping[Component, HeadStore]
    sources: Mapping[Component, Sequence[HeadStore]]
    add_users: bool

    def bring(
        self,
        known: Mapping[str, Set[str]],
        users: Mapping[UserKey, Sequence[HistoryItem]],
    ) -> tuple[Counter[str], dict[UserKey, int]]:
        """Gives some users their new items.

        known: by user id, the ids of the items of the run that the state was brought up to before. users: of the later
        run.

        Returns:
            What became of them; and those whose history is that of the later run now, with its revision.
        """
        counts: Counter[str] = Counter()
        same: dict[UserKey, int] = {}
        for user, items in users.items():
            before = self.store.state(user)
            if before is None and not self.add_users:
                counts["unknown"] += 1
                continue
            had = known.get(user.user_id, frozenset()) if before else frozenset()
            new = [item for item in items if item.item_id not in had]
            if new or before is None:
                self.store.append(user, new)
            found = self.store.history(user)
            if found is None:  # deleted in this moment
                continue
            state, current = found
            counts["items"] += state.items - (before.items if before else 0)
            if {item.item_id for item in current} == {item.item_id for item in items}:
                same[user] = state.revision
            elif before is None or (
                new and state.fitted_revision != state.revision
            ):  # or a killed update had not come to it
                self.store.set_fit(user, "queued")
                counts["queued"] += 1
        counts["heads"] += len(same)
        return counts, same

    def give_heads(self, users: Mapping[UserKey, int]) -> None:
        """The later run's heads to users whose history is that run's. users: with the revision of that history."""
        if not users:
            return
        versions: dict[Component, int] = {}
        for component, heads in self.heads.items():
            ids = [user.user_id for user in users]
            found, arrays = newest_heads(self.sources[component], ids, heads.spec.shapes)
            own = [user.stored for user, has in zip(users, found, strict=True) if has]
            rest = [user.stored for user, has in zip(users, found, strict=True) if not has]
            heads.refresh()
            if own:
                versions[component] = heads.put(own, {name: array[found] for name, array in arrays.items()})
            if rest and heads.get(rest)[0].any():  # the shared head is theirs now
                versions[component] = heads.delete(rest)
        for user, revision in users.items():
            if self.store.set_fit(user, "done", fitted_revision=revision, heads=versions) is None:
                for heads in self.heads.values():  # deleted meanwhile
                    heads.refresh()
                    heads.delete([user.stored])


@dataclass(frozen=True)
class Served:
    """A service's state, and the run that it was made of.

    Attributes:
        where: The state.
        bundle: The run.
        tenant: Whose users the run's are.
        users: The ingested histories that the state was last brought up to; at first the run's.
    """

    where: ServiceState
    bundle: RunArtifacts
    tenant: str
    users: Path


def served_from(run: Path, state: Path, database: str | None) -> Served:
    """The state of a run's service.

    Raises UserError: there is no such run or state, the state is of another run, or its users are not where `database`
    says.
    """
    if not (state / PREPARED).exists():
        raise UserError(
            f"{state}: holds no service's state ({PREPARED} is missing); serve the run first, or give --state"
        )
    about = read_about(state / PREPARED)
    service_in_database(state, database)
    bundle = load_run_artifacts(run, about.get("seed"))
    if about.get("run") != bundle.name:
        raise UserError(f"{state} is of run {about.get('run')!r}, not of {bundle.name!r}; name the run that it is of")
    last = state / UPDATED
    users = Path(read_about(last)["users"]) if last.exists() else bundle.users
    return Served(ServiceState(state, database), bundle, str(about.get("tenant")), users)


def update_state(served: Served, later: Path, add_users: bool) -> str:
    """Brings a service's state up to a later run. Killed and called again it goes on; the service may run.

    later: folder of the later run. add_users: see `StateUpdate`; users deleted from the service whom the later run
    still has come back then.

    Returns:
        What was done, in words.

    Raises:
        UserError: there is no such run, its heads are of other bases, the state cannot be reached or written.
    """
    after, state = refitted(served.bundle, later), served.where.folder
    store = served.where.open_users(served.bundle.config.data.buckets)
    update = StateUpdate(store, *_head_stores(after, state), add_users)
    counts: Counter[str] = Counter()
    for batch in batches(after, served.tenant, store.buckets):
        ids = [user.user_id for some in batch.values() for user, _ in some]
        known: dict[str, set[str]] = {}
        for user in read_users(served.users, user_ids=ids):
            known.setdefault(user.user_id, set()).update(item.item_id for item in user.items)
        # Who is in both splits comes twice, once with more items.
        longest = dict(sorted(chain(*batch.values()), key=lambda pair: len(pair[1])))
        became, same = update.bring(known, longest)
        counts += became
        update.give_heads(same)
    store.close()
    write_text(state / UPDATED, json.dumps({"users": str(after.users)}))
    skipped = f", {counts['unknown']} users left out whom the service does not know" if counts["unknown"] else ""
    return (
        f"{counts['items']} items added, heads of {counts['heads']} users are those of {later.name}, "
        f"{counts['queued']} users with changes of their own queued for a fit{skipped}"
    )


def _head_stores(
    after: RunArtifacts, state: Path
) -> tuple[dict[Component, HeadStore], dict[Component, list[HeadStore]]]:
    """The service's and the later run's. Raises UserError where they are of different bases or shapes."""
    heads: dict[Component, HeadStore] = {}
    sources: dict[Component, list[HeadStore]] = {}
    for component in COMPONENTS:
        folder = heads_folder(state, component)
        if folder.exists() and after.heads[component]:
            heads[component], sources[component] = HeadStore.open(str(folder)), []
            own = heads[component].spec
            for fitted in after.heads[component]:
                source = HeadStore.open(str(fitted / FOLDER))
                source.spec.check(replace(source.spec, base=own.base, shapes=own.shapes), str(fitted))
                sources[component].append(source)
    return heads, sources
