"""The floors of a bucket (`hydra_ray.serve.state.users.Floors`), under its lock."""

import json

from hydra_ray.serve.state.postgres.database import Cursor
from hydra_ray.serve.state.users import Floors


def read_floors(cursor: Cursor, bucket: int) -> Floors:
    """None were ever written: no user was deleted."""
    row = cursor.execute("SELECT revision, heads FROM floors WHERE bucket = %s", (bucket,)).fetchone()
    return Floors(*row) if row else Floors()


def write_floors(cursor: Cursor, bucket: int, floors: Floors) -> None:
    """Replaces them."""
    cursor.execute(
        "INSERT INTO floors (bucket, revision, heads) VALUES (%s, %s, %s)"
        " ON CONFLICT (bucket) DO UPDATE SET revision = excluded.revision, heads = excluded.heads",
        (bucket, floors.revision, json.dumps(dict(floors.heads))),
    )
