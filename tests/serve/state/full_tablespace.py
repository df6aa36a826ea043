"""A PostgreSQL server whose tables lie on a disk that fills up, and gets room again: what `main` does, in a process of
its own."""

import os
import subprocess
from pathlib import Path
from typing import Any

from hydra_ray.serve.state.service_state import ServiceState
from tests.serve.made_up import ANNA, BERT
from tests.serve.state.full_disk import fill, fill_none, kept, record
from tests.serve.state.postgres_server import NOBODY, ROLE, PostgresServer
from tests.small_disk import mount, resize


def main(folder: Path) -> dict[str, Any]:
    """See `full_disk.main`; the disk is in the server's folder, which its account can reach."""
    server = PostgresServer()
    disk = server.folder / "small"
    disk.mkdir()
    mount(disk, 2048)
    os.chown(disk, NOBODY, NOBODY)
    try:
        server.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
        server.execute(f"GRANT CREATE ON TABLESPACE small TO {ROLE}; ALTER ROLE {ROLE} SET default_tablespace = small")
        state = ServiceState(folder, server.new_url())
        store = state.create_users(4, "service")
        taken, words = fill(store)
        again, found, reopened = fill_none(store, taken), kept(store), kept(state.open_users())
        resize(disk, 8192)
        store.append(BERT, [record(0)])
        store.append(ANNA, [record(taken)])
        after = kept(store)
        store.close()
        return {"taken": taken, "words": words, "again": again, "found": found, "reopened": reopened, "after": after}
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
        server.remove()
