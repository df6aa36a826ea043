"""What a user's history gives for a question: the retrieved items and the user's answer counts. Free of Ray.

Indexes of the users asked for last are kept, up to a number of bytes. Whether a kept one is still right is asked of the
store on every call, so an item that any process has appended is found by the very next question.
"""

import contextlib
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from cachetools import Cache, LRUCache

from hydra_ray.config import RetrievalConfig
from hydra_ray.core.retrieval import TextEncode, retriever_kind
from hydra_ray.core.tasks import Task
from hydra_ray.core.topic_classifier import TopicModel
from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.history_index import HistoryIndex
from hydra_ray.inference.types import RetrievalResult, UserKey, UserState
from hydra_ray.serve.state.users import HistoryUnreadableError, UserStore

USER_BYTES, ITEM_BYTES = 2500, 250
"""What a user and an item take on top of the texts (measured with tracemalloc)."""


def estimate(items: Sequence[HistoryItem], config: RetrievalConfig) -> int:
    """Bytes in memory of a user's items with their index.

    BM25 `okapi`, 20 to 1,000 items of 5 to 300 words each: 5 to 13 % above what tracemalloc counts; one or two
    items: from 28 % below to 68 % above.
    """
    size = USER_BYTES + retriever_kind(config.method).index_bytes(items, config.settings())
    for item in items:
        texts = {item.item_id, item.text, item.corpus, item.answer, item.date}
        size += ITEM_BYTES + sum(sys.getsizeof(text) for text in texts)
    return size


@dataclass(frozen=True, slots=True)
class _Kept:
    """One user's index, of one revision. size: bytes."""

    revision: int
    index: HistoryIndex
    size: int


class Histories:
    """For many threads. hits, misses: calls whose index was kept, or had to be made."""

    def __init__(
        self,
        store: UserStore,
        config: RetrievalConfig,
        task: Task,
        seed: int,
        most_bytes: int,
        encode: TextEncode | None = None,
        likeness: bool = False,
        topics: TopicModel | None = None,
    ) -> None:
        """encode: for the method `dense`, likeness (of items to the query) and topics, which need one."""
        self._store, self._config, self._task, self._seed, self._encode = store, config, task, seed, encode
        self._likeness, self._topics = likeness, topics
        self._kept: LRUCache[str, _Kept] = LRUCache(most_bytes, lambda kept: kept.size)
        self._lock = threading.Lock()
        self.hits = self.misses = 0

    @property
    def bytes(self) -> int:
        """What the kept indexes take."""
        return int(self._kept.currsize)

    def found(self, user: UserKey, query: str, n: int) -> RetrievalResult:
        """The n best items for a query, of the history as it is now; no state for an unknown user.

        Raises HistoryUnreadableError.
        """
        state = self._store.state(user)
        kept = self._look_up(user.stored, state.revision if state else None)
        if state and not kept:
            # One transaction: the index is of the revision that it says.
            history = self._store.history(user)
            state = history[0] if history else None
            if history:
                kept = self._make(*history)
                self._keep(user.stored, kept)
        if not state or not kept:
            return RetrievalResult()
        return kept.index.retrieve(query, n, self._topics, state)

    def forget_deleted(self) -> None:
        """Drops what is kept of users who are no more, or whose items are others by now. Whose file cannot be read is
        dropped, too."""
        with self._lock:
            # Cache.__getitem__: a look that does not make the entry the one used last.
            revisions = {stored: Cache.__getitem__(self._kept, stored).revision for stored in self._kept}
        for stored, revision in revisions.items():
            with contextlib.suppress(HistoryUnreadableError):
                state = self._store.state(UserKey.of_stored(stored))
                if state and state.revision == revision:
                    continue
            with self._lock:
                self._kept.pop(stored, None)

    def _make(self, state: UserState, items: Sequence[HistoryItem]) -> _Kept:
        index = HistoryIndex(items, self._task, self._config, self._seed, self._encode, self._likeness)
        return _Kept(state.revision, index, estimate(items, self._config) + index.embed())

    def _look_up(self, stored: str, revision: int | None) -> _Kept | None:
        """What is kept of a user, if it is of this revision (None: there is no such user)."""
        with self._lock:
            kept = self._kept.get(stored)
            if kept and (revision is None or kept.revision < revision):
                del self._kept[stored]
            if revision is None:
                return None
            if kept and kept.revision == revision:
                self.hits += 1
                return kept
            self.misses += 1
            return None

    def _keep(self, stored: str, kept: _Kept) -> None:
        """Keeps the newest; what is larger than all room there is, is not kept."""
        with self._lock:
            before = self._kept.get(stored)
            if before is None or before.revision <= kept.revision:
                with contextlib.suppress(ValueError):
                    self._kept[stored] = kept
