"""Why a run stands still on a shared cluster: what Ray has no room for, what is free, and who holds the rest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hydra_ray.config.resources import NodeResources

SHOWN = 4
"""Holders and demands that a line names."""
REPLICA = "ServeReplica:"
"""How the classes of Ray Serve's replicas begin."""

Demands = Mapping[tuple[tuple[str, float], ...], int]
"""What tasks, actors and placement groups wait for -> how often. A key is sorted by resource, so that two moments can
be compared."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The actors of one class and job, as far as they hold anything.

    Attributes:
        own: Whether the job is this run.
        who: The job, in words.
        what: The actors' class.
        count: How many.
        reserved: Resource -> amount, of all of them together.
    """

    own: bool
    who: str
    what: str
    count: int
    reserved: NodeResources


@dataclass(frozen=True, slots=True)
class Room:
    """A cluster at one moment.

    Attributes:
        wanted: What waits.
        free: Node by node, resource -> amount.
        total: Resource -> amount, of all nodes.
        holders: Who holds the rest, one for each job and class; None: not known.
    """

    wanted: Demands
    free: Sequence[NodeResources]
    total: NodeResources
    holders: Sequence[Holder] | None

    def at_work(self) -> bool:
        """Whether workers of this run hold anything; the LLM that it serves does not count."""
        return any(holder.own and not holder.what.startswith(REPLICA) for holder in self.holders or ())

    def unplaced(self) -> Demands:
        """What is wanted and fits on no node now -> how often."""
        return {
            amounts: count
            for amounts, count in self.wanted.items()
            if not any(all(node.get(name, 0.0) >= amount for name, amount in amounts) for node in self.free)
        }


def no_room_line(room: Room, since: Demands) -> str:
    """What has had no room at both moments, what is free, and who holds the rest; "" where all had.

    since: `unplaced` of the earlier moment.
    """
    still = {amounts: count for amounts, count in room.unplaced().items() if amounts in since}
    if not still:
        return ""
    wanted = [f"{count} x ({_listed(dict(amounts))})" for amounts, count in still.items()]
    short = sorted({name for amounts in still for name, _ in amounts})
    free = [f"{sum(node.get(name, 0) for node in room.free):g} of {room.total.get(name, 0):g} {name}" for name in short]
    line = f"ray: waiting for {_shortened(wanted)}; free: {', '.join(free)}"
    if room.holders is None:
        return line
    held = [(holder, {name: holder.reserved.get(name, 0) for name in short}) for holder in room.holders]
    held = sorted((pair for pair in held if any(pair[1].values())), key=lambda pair: -sum(pair[1].values()))
    holding = [f"{_listed(amounts)} by {holder.count} {holder.what} of {holder.who}" for holder, amounts in held]
    return f"{line}; held: {_shortened(holding) or 'by tasks'}"


class RoomWatch:
    """A line at every call (see `PeriodicTask`) while the run stands still for want of room: what it wants had none at
    the call before either, and none of its workers holds any.

    look: the cluster now. log: takes the lines.
    """

    def __init__(self, look: Callable[[], Room], log: Callable[[str], None]) -> None:
        self._look, self._log = look, log
        self._since: Demands = {}

    def __call__(self) -> None:
        """Looks and says."""
        try:
            room = self._look()
        except Exception:  # a cluster that cannot be reached is the run's own to find out
            return
        line = "" if room.at_work() else no_room_line(room, self._since)
        self._since = room.unplaced()
        if line:
            self._log(line)


def _listed(amounts: NodeResources) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in amounts.items() if amount) or "nothing"


def _shortened(parts: Sequence[str]) -> str:
    more = len(parts) - SHOWN
    return "; ".join(parts[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
