"""A PostgreSQL server whose write-ahead log lies on a disk that fills up, and gets room again: what `main` does, in a
process of its own. The server ends by itself then: without its log it can promise nothing."""

import contextlib
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from hydra_ray.errors import UserError
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.serve.state.users import UserStore
from tests.serve.made_up import ANNA, BERT
from tests.serve.state.full_disk import fill, fill_none, kept, record
from tests.serve.state.postgres_server import PostgresServer
from tests.small_disk import mount, resize


def main(folder: Path) -> dict[str, Any]:
    """See `full_disk.main`. found: as soon as the server is there again."""
    disk = Path(tempfile.mkdtemp(prefix="wal_"))
    mount(disk, 6144)
    server = PostgresServer(log=disk / "wal")
    try:
        state = ServiceState(folder, server.new_url())
        store = state.create_users(4, "service")
        taken, words = fill(store, UserError)
        again = fill_none(store, taken, UserError)
        resize(disk, 32768)
        with contextlib.suppress(AssertionError):  # it is still there, or comes back by itself
            server.start()
        end = time.monotonic() + 60
        while (found := _found(store)) is None:
            assert time.monotonic() < end, "the server does not come back"
        reopened = kept(state.open_users())
        store.append(BERT, [record(0)])
        store.append(ANNA, [record(found)])
        after = kept(store)
        store.close()
        return {"taken": taken, "words": words, "again": again, "found": found, "reopened": reopened, "after": after}
    finally:
        server.remove()
        subprocess.run(["umount", "--lazy", disk], check=True)
        disk.rmdir()


def _found(store: UserStore) -> int | None:
    try:
        return kept(store)
    except UserError:
        time.sleep(0.2)
        return None
