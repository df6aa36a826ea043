"""What caches need to know of deletions."""

from typing import Protocol


class Deletions(Protocol):
    """Whether a user or an item was deleted since the last look, by any process. For one thread at a time."""

    def announce(self) -> None:
        """After a deletion, of a user or of an item. Raises OSError."""
        ...

    def new(self) -> bool:
        """Whether there was one since this was last asked, or made. May wait for a disk or a database."""
        ...
