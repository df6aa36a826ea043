"""The rewarded lists of a training: who is held out, and the file that all workers read."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hydra_ray.core.rewards import RewardedList
from hydra_ray.core.sampling import held_out_users
from hydra_ray.errors import NothingToLearnError

SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("query", pa.string()),
        ("items", pa.list_(pa.string())),
        ("rewards", pa.list_(pa.float64())),
        ("held_out", pa.bool_()),
    ]
)


@dataclass(frozen=True, slots=True)
class ListSplit:
    """What is learned from, and what chooses the epoch and the temperature; no user is in both."""

    training: tuple[RewardedList, ...]
    held_out: tuple[RewardedList, ...]


def split_lists(name: str, lists: Sequence[RewardedList], share: float, seed: int, equal_ones: bool) -> ListSplit:
    """Holds out the lists of a share of the users, drawn by seed and id alone.

    Args:
        name: Of the training, in messages.
        lists: Of all training users.
        share: Of the users that lists with unequal rewards come from; at least one user is held out.
        seed: Of the draw.
        equal_ones: Whether lists whose rewards are all equal are learned from, too. None of them is held out: every
            order of such a list is as good.

    Raises:
        NothingToLearnError: There are no answers to learn from, or none of use from two users.
    """
    if not lists:
        raise NothingToLearnError(
            f"{name}: the LLM has answered no training query after single history items, so there is "
            "nothing to learn from: raise protocol.train_users or protocol.pseudo_queries, and see that "
            "users have histories"
        )
    useful = {one.user_id for one in lists if one.teaches}
    if len(useful) < 2:
        raise NothingToLearnError(
            f"{name}: {len(useful)} of {len({one.user_id for one in lists})} training users have a query "
            "that the LLM answers better after one history item than after another; two are needed: raise "
            "protocol.train_users, protocol.pseudo_queries or retrieval.top_n"
        )
    held_out = held_out_users(useful, share, seed)
    return ListSplit(
        tuple(one for one in lists if one.user_id not in held_out and (one.teaches or equal_ones)),
        tuple(one for one in lists if one.user_id in held_out and one.teaches),
    )


def write_lists(split: ListSplit, file: Path) -> None:
    """Writes both parts into one Parquet file."""
    rows = [{**asdict(one), "held_out": out} for out in (False, True) for one in (split.training, split.held_out)[out]]
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), file)


def read_lists(file: Path) -> ListSplit:
    """The inverse of `write_lists`."""
    parts: tuple[list[RewardedList], list[RewardedList]] = ([], [])
    for row in pq.read_table(file).to_pylist():
        one = RewardedList(row["user_id"], row["query"], tuple(row["items"]), tuple(row["rewards"]))
        parts[row["held_out"]].append(one)
    return ListSplit(tuple(parts[0]), tuple(parts[1]))
