"""Staged fragments: heads that one of many writers has written and that are not published yet, described in JSON."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from hydra_ray.core.hashing import bucket_of
from hydra_ray.errors import UserError
from hydra_ray.store.heads.connection import Connection
from hydra_ray.store.heads.lance_io import LanceError
from hydra_ray.store.heads.table import fragment_from_json, fragment_to_json

StagedFragments = dict[str, Any]
"""bucket, users (how many), spec (digest), fragments (Lance's descriptions)."""


def describe(connection: Connection, bucket: int, users: int, fragments: Sequence[Any]) -> StagedFragments:
    """The part of one bucket."""
    described = [fragment_to_json(fragment) for fragment in fragments]
    return {"bucket": bucket, "users": users, "spec": connection.spec.digest, "fragments": described}


def fragments_to_publish(parts: Sequence[StagedFragments]) -> list[Any]:
    """What a commit takes."""
    return [fragment_from_json(json.dumps(fragment)) for part in parts for fragment in part["fragments"]]


class StagedUsers:
    """The user ids of the parts, read from their files: one list per part, again on every pass."""

    def __init__(self, connection: Connection, parts: Sequence[StagedFragments]) -> None:
        self._connection = connection
        self._parts = parts

    def __iter__(self) -> Iterator[list[str]]:
        for part in self._parts:
            yield self._users(part)

    def check(self) -> None:
        """Raises UserError for a part of another store, a part whose file is gone, or a user in two parts."""
        by_bucket: dict[int, set[str]] = {}
        for part in sorted(self._parts, key=lambda part: int(part["bucket"])):
            bucket = int(part["bucket"])
            if part["spec"] != self._connection.spec.digest:
                raise UserError(
                    f"the part of bucket {bucket} was written for another store than {self._connection.uri} (another "
                    "base, kind or shape); nothing was published, fit that bucket again"
                )
            if bucket not in by_bucket:
                by_bucket = {bucket: set()}  # sorted: earlier buckets are done with
            users = self._users(part)
            twice = by_bucket[bucket].intersection(users)
            if twice:
                raise UserError(f"user {min(twice)!r} is in two parts of bucket {bucket}; nothing was published")
            by_bucket[bucket].update(users)

    def _users(self, part: StagedFragments) -> list[str]:
        users: list[str] = []
        for fragment in part["fragments"]:
            path = f"data/{fragment['files'][0]['path']}"
            try:
                users += self._connection.files.column(path, "user_id")["user_id"].to_pylist()
            except LanceError as error:
                raise UserError(f"{self._connection.uri}: the part of bucket {part['bucket']} cannot be read: {path}: "
                                f"{error}; nothing was published, fit that bucket again") from None  # fmt: skip
        if len(users) != part["users"] or any(
            bucket_of(user, self._connection.spec.buckets) != part["bucket"] for user in users
        ):
            raise UserError(f"{self._connection.uri}: the part of bucket {part['bucket']} does not hold the users it "
                            "says; nothing was published, fit that bucket again")  # fmt: skip
        return users
