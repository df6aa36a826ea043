"""Moving a service's users, usage and queue of fits from a state folder's files to a database, or back.

Killed and called again it goes on: what is there already, as it should be, is not copied again. Only at the end does
the folder say where its users are now.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

from hydra_ray.errors import UserError
from hydra_ray.inference.types import UserKey
from hydra_ray.serve.state.binding import bind, read_about, service_in_database
from hydra_ray.serve.state.folders import PREPARED, USERS
from hydra_ray.serve.state.postgres.database import Database
from hydra_ray.serve.state.postgres.driver import is_url
from hydra_ray.serve.state.postgres.schema import confirm_service, migrate
from hydra_ray.serve.state.private_files import private_files
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.serve.state.users import UserStore
from hydra_ray.utils.atomic_io import write_text

T = TypeVar("T")

SERVICE = "service.id"
"""File of a state folder whose users were ever copied: the service's name in the database."""
AT_ONCE = 500
"""Users in one transaction."""


def copy_state(source: str, target: str, log: Callable[[str], None]) -> int:
    """Copies all users between a state folder and a database; returns how many there are.

    Raises UserError: not one folder and one URL, a folder without a service's state, a database that cannot be reached
    or is another service's, users that changed meanwhile.
    """
    folder, database = _ends(source, target)
    about = read_about(folder / PREPARED)
    files, tables = ServiceState(folder), ServiceState(folder, database)
    into_database = is_url(target)
    if into_database:
        service_in_database(folder, None)
        service = _begun(folder)
        origin = files.open_users()
        copy = tables.create_users(origin.buckets, service)
    else:
        service = service_in_database(folder, database) or ""
        connections = Database(database)
        confirm_service(connections, service)
        write_text(folder / SERVICE, service)  # for the way back
        migrate(connections)
        connections.close()
        origin = tables.open_users()
        with private_files():
            copy = files.create_users(origin.buckets, service)
    log(f"copying the users of run {about.get('run')} to {target}")
    users = _copy_users(origin, copy, log)
    days, kept = (files, tables) if into_database else (tables, files)
    kept.open_usage().put_days(days.open_usage().all_days())
    _compare(origin, copy)
    origin.close()
    copy.close()
    bind(folder, service if into_database else None)
    left = folder / USERS if into_database else "the database"
    log(f"{users} users are in {target} now; what is left in {left} is not read any more: remove it when you like")
    return users


def _ends(source: str, target: str) -> tuple[Path, str]:
    """The folder and the database."""
    if is_url(source) == is_url(target):
        raise UserError("state copy: name one state folder and one postgresql://HOST/DATABASE")
    folder, database = (target, source) if is_url(source) else (source, target)
    path = Path(folder).expanduser().resolve()
    if not (path / PREPARED).exists():
        raise UserError(f"{path}: holds no service's state ({PREPARED} is missing); name its state folder")
    return path, database


def _begun(folder: Path) -> str:
    """The service's name in the database, the same however often a copy is begun."""
    file = folder / SERVICE
    if not file.exists():
        write_text(file, uuid.uuid4().hex)
    return file.read_text().strip()


def _copy_users(origin: UserStore, copy: UserStore, log: Callable[[str], None]) -> int:
    users = 0
    for bucket in range(origin.buckets):
        wanted, have = origin.states(bucket), copy.states(bucket)
        if surplus := [user for user in have if user not in wanted]:
            copy.drop_records(bucket, surplus)
        todo = [user for user, state in wanted.items() if have.get(user) != state]
        for some in _batches(todo):
            copy.put_records(bucket, list(origin.records(some)))
        if copy.floors(bucket) != (floors := origin.floors(bucket)):
            copy.set_floors(bucket, floors)
        users += len(wanted)
        if todo:
            log(f"bucket {bucket + 1} of {origin.buckets}: {len(todo)} users copied, {users} are there")
    return users


def _compare(origin: UserStore, copy: UserStore) -> None:
    """Raises UserError where the two differ."""
    for bucket in range(origin.buckets):
        same = origin.states(bucket) == copy.states(bucket) and origin.floors(bucket) == copy.floors(bucket)
        if not same:
            raise UserError("the users changed while they were copied: stop the service, run the same command again")


def _batches(users: Sequence[UserKey]) -> Iterator[list[UserKey]]:
    rest = iter(users)
    while batch := list(islice(rest, AT_ONCE)):
        yield batch
