"""What the service needs of a store of users. Two keep the promise: SQLite files and PostgreSQL."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from hydra_ray.core.types import HistoryItem
from hydra_ray.errors import UserError
from hydra_ray.inference.types import Component, FitState, UserKey, UserState


class HistoryUnreadableError(UserError):
    """The store cannot be read, so its users' histories are unknown: a broken file, a database that is away."""


class NotStoredError(UserError):
    """The store can be read but not written, so the change is not made: a full disk, no right to write."""


@dataclass(frozen=True, slots=True)
class Floors:
    """The highest revision and head versions of users deleted from a bucket.

    A new user begins above them, so that an index or a head that is still kept of a deleted user is never taken for
    that of a new user with the same id.
    """

    revision: int = 0
    heads: Mapping[Component, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UserRecord:
    """All that a store holds of a user. born: the revision before the user's first. items: oldest first."""

    user: UserKey
    born: int
    state: UserState
    items: Sequence[HistoryItem]


class UserStore(Protocol):
    """Users and their items, durable, shared by processes; for many threads, each process opens its own.

    Every change is whole and durable when the call returns, or not made; a writer that is killed leaves the last state.
    A reader sees what was changed before it asked, by any process. What cannot be read is a HistoryUnreadableError,
    which names the file or the database, never an unknown user or a shorter history; methods that write raise UserError
    too, where the store can be read but not written.
    """

    @property
    def buckets(self) -> int:
        """Into how many buckets users' stored ids fall."""
        ...

    def close(self) -> None:
        """Closes files or connections; the next call opens what it needs."""
        ...

    # reading

    def state(self, user: UserKey) -> UserState | None:
        """What is known of the user now, from any process; None: no such user."""
        ...

    def history(self, user: UserKey) -> tuple[UserState, list[HistoryItem]] | None:
        """State and items of one moment, oldest first; None: no such user."""
        ...

    def items(self, user: UserKey) -> list[HistoryItem]:
        """The user's items, oldest first; none if there is no such user."""
        ...

    def page(self, user: UserKey, first: int, limit: int) -> tuple[UserState, list[HistoryItem]] | None:
        """State, and the user's items from place `first` on, `limit` at most; None: no such user."""
        ...

    def users(self, tenant: str, prefix: str, limit: int) -> list[tuple[UserKey, UserState]]:
        """The tenant's users whose id begins with `prefix`, sorted by id."""
        ...

    def keys(self, bucket: int) -> list[UserKey]:
        """The users of a bucket, sorted."""
        ...

    # writing

    def append(self, user: UserKey, items: Sequence[HistoryItem]) -> UserState:
        """Adds items behind the others, and the user if unknown; a known `item_id` is replaced in its place.

        The revision grows by one if this changes anything. A user who was deleted begins anew at a higher revision than
        ever before, with the versions of the head stores in which the old heads are gone.
        """
        ...

    def remove_item(self, user: UserKey, item_id: str) -> tuple[UserState, bool] | None:
        """Removes one item: the state then, and whether there was one of that id; None: no such user.

        The revision grows, so that no index of before counts; heads stay until the next fit.
        """
        ...

    def delete(self, user: UserKey, heads: Mapping[Component, int] | None = None) -> bool:
        """Removes the user and all items; False: no such user.

        heads: the head-store versions in which the user's heads are gone, to be removed first. A later user
        with the same id begins with them, so that no scorer uses an older version's head for that user.
        """
        ...

    # fits

    def set_fit(
        self,
        user: UserKey,
        fit: FitState,
        *,
        message: str = "",
        fitted_revision: int | None = None,
        heads: Mapping[Component, int] | None = None,
    ) -> UserState | None:
        """Records how a fit stands; returns the new state. None: the user is gone, and nothing was recorded.

        fitted_revision: the history it read (None: as before); where that was of a deleted user of the same id, this
        one is another, and the answer None, too. heads: the head-store versions with the new heads (the highest stay).
        A fit that ends (`done`, `failed`) while one more is queued leaves that one queued.
        """
        ...

    def claim_fits(self, worker: str, limit: int, lease_s: float, user: UserKey | None = None) -> list[UserKey]:
        """Users whose fit is queued, or running under a lease that is over, `limit` at most: `worker` has them for
        `lease_s` from now, and their fits are `running`. No other worker gets them meanwhile. user: this one alone.
        """
        ...

    def renew_fits(self, worker: str, users: Sequence[UserKey], lease_s: float) -> None:
        """The worker's leases of these users end `lease_s` from now; those that it has lost stay lost."""
        ...

    def release_fit(self, worker: str, user: UserKey, wait_s: float = 0.0) -> None:
        """Gives up the worker's lease of a user. wait_s: how long no worker may take the user, queued or not."""
        ...

    def unfinished_fits(self) -> int:
        """How many users' fits are queued or running, of all tenants."""
        ...

    # import, before any user is served

    def import_users(self, bucket: int, users: Iterable[tuple[UserKey, Sequence[HistoryItem]]]) -> int:
        """Adds users of one bucket in one transaction; known ones are left as they are. Returns how many are new."""
        ...

    def import_heads(self, bucket: int, heads: Mapping[UserKey, Mapping[Component, int]]) -> None:
        """Records which of a bucket's users came with heads, in which versions, fitted on the items they have now."""
        ...

    # copying a whole store, while no service uses it

    def states(self, bucket: int) -> dict[UserKey, UserState]:
        """The users of a bucket."""
        ...

    def records(self, users: Sequence[UserKey]) -> Iterator[UserRecord]:
        """All of these users, as far as they are there."""
        ...

    def put_records(self, bucket: int, records: Sequence[UserRecord]) -> None:
        """Writes users of one bucket as they are elsewhere, in place of those of the same ids, in one transaction."""
        ...

    def drop_records(self, bucket: int, users: Sequence[UserKey]) -> None:
        """Takes users out of a bucket again, as if they had never been copied: no floor rises."""
        ...

    def floors(self, bucket: int) -> Floors:
        """Of a bucket."""
        ...

    def set_floors(self, bucket: int, floors: Floors) -> None:
        """Replaces a bucket's floors."""
        ...


def check_text(items: Sequence[HistoryItem]) -> None:
    """Raises UserError for a text that is none (half of a character)."""
    for item in items:
        try:
            "".join((item.item_id, item.text, item.corpus, item.answer, item.date)).encode()
        except UnicodeEncodeError:
            raise UserError(f"item {item.item_id!r} holds half a character (a lone surrogate); correct it") from None


def place_items(
    items: Sequence[HistoryItem], known: Mapping[str, tuple[int, HistoryItem]], next_place: int
) -> dict[int, HistoryItem]:
    """Where `append` writes which item: place -> item; what is there already, as it is, is left out.

    known: item id -> place and item, at least of those of the same ids that are there. next_place: of the first new.
    """
    places = {item_id: place for item_id, (place, _) in known.items()}
    changed: dict[int, HistoryItem] = {}
    for item in items:
        if item.item_id not in places:
            places[item.item_id], next_place = next_place, next_place + 1
        place = places[item.item_id]
        if item.item_id in known and known[item.item_id][1] == item:
            changed.pop(place, None)
        else:
            changed[place] = item
    return changed


def fit_recorded(
    state: UserState,
    fit: FitState,
    message: str,
    fitted_revision: int | None,
    heads: Mapping[Component, int] | None,
) -> UserState:
    """The state that `set_fit` leaves of `state`."""
    stands: FitState = "queued" if state.fit == "queued" and fit in ("done", "failed") else fit
    revision = state.fitted_revision if fitted_revision is None else fitted_revision
    return replace(
        state, fit=stands, message=message, heads=highest(state.heads, heads or {}), fitted_revision=revision
    )


def highest(*versions: Mapping[Component, int]) -> dict[Component, int]:
    """Component -> the highest version any of them names."""
    found: dict[Component, int] = {}
    for some in versions:
        for component, version in some.items():
            found[component] = max(version, found.get(component, 0))
    return found
