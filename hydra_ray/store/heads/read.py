"""Batches of rows, checked and compared with what was asked for, gathered into stacked arrays. Pure."""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hydra_ray.store.heads.rows import faulty, values_of
from hydra_ray.store.heads.spec import HeadSpec


class FaultyRowError(Exception):
    """A row is not as it was written, or not one that was asked for."""


def gather(
    spec: HeadSpec, batches: Iterable[pa.RecordBatch], user_ids: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Found bool [N] and values float32 [N, P] (zeros where not found), in the order of `user_ids`, repeats included.

    Of several rows of one user the one with the greatest address counts. Raises FaultyRowError.
    """
    place = {user: i for i, user in enumerate(dict.fromkeys(user_ids))}
    values_NP = np.zeros((len(place), spec.size), np.float32)
    address_N = np.full(len(place), -1, np.int64)
    for batch in batches:
        users = _checked(spec, batch)
        try:
            at = np.array([place[user] for user in users], np.intp)
        except KeyError as error:
            raise FaultyRowError(f"the index gave user {error} for another") from None
        address = batch["_rowaddr"].to_numpy().astype(np.int64)
        order = np.argsort(address)  # of a repeated place, NumPy keeps what it was assigned last
        order = order[address[order] > address_N[at[order]]]
        address_N[at[order]] = address[order]
        values_NP[at[order]] = values_of(spec, batch)[order]
    if len(place) == len(user_ids):
        return address_N >= 0, values_NP
    rows = np.array([place[user] for user in user_ids], np.intp)
    return address_N[rows] >= 0, values_NP[rows]


def gather_bucket(
    spec: HeadSpec, batches: Iterable[pa.RecordBatch], bucket: int
) -> tuple[list[str], NDArray[np.float32]]:
    """All users of a bucket, sorted by id, and their values [N, P]. Raises FaultyRowError."""
    users: list[str] = []
    values, addresses = [np.empty((0, spec.size), np.float32)], [np.empty(0, np.uint64)]
    for batch in batches:
        users += _checked(spec, batch)
        if any(b != bucket for b in batch["bucket"].to_pylist()):
            raise FaultyRowError(f"the index gave rows of another bucket for bucket {bucket}")
        values.append(values_of(spec, batch).astype(np.float32, copy=False))
        addresses.append(batch["_rowaddr"].to_numpy())
    values_NP, address_N = np.concatenate(values), np.concatenate(addresses)
    newest = {users[i]: i for i in np.argsort(address_N).tolist()}
    order = [newest[user] for user in sorted(newest)]
    return [users[i] for i in order], values_NP[order]


def _checked(spec: HeadSpec, batch: pa.RecordBatch) -> list[str]:
    wrong = faulty(spec, batch)
    if wrong:
        raise FaultyRowError(wrong[0][1])
    users: list[str] = batch["user_id"].to_pylist()
    return users
