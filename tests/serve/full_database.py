"""A service whose database's disk fills up, first beneath its tables, then beneath its write-ahead log, and gets room
again: what `main` does, in a process of its own."""

import contextlib
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.serve.run_folder import USERS, answers_of
from tests.serve.running import Running, body_of, running, until
from tests.serve.state.postgres_server import NOBODY, ROLE, PostgresServer
from tests.small_disk import mount

MOST = 400
"""Items of which no page or file that is begun has room for all."""
WRITER, READER = USERS[:2]
BALLAST = "ballast"


@contextlib.contextmanager
def small_disk(kib: int) -> Iterator[Path]:
    """Where the server's account may write."""
    disk = Path(tempfile.mkdtemp(prefix="pgd_"))
    mount(disk, kib)
    os.chown(disk, NOBODY, NOBODY)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
        disk.rmdir()


def fill(disk: Path) -> None:
    """Leaves no room on it."""
    with contextlib.suppress(OSError), (disk / BALLAST).open("wb") as file:
        while True:
            file.write(bytes(1024))
            file.flush()


class Course:
    """What clients see. stored: ids of the items that were acknowledged, oldest first."""

    def __init__(self, http: httpx.Client) -> None:
        self.http, self.stored, self._number = http, [], 0  # type: ignore[var-annotated]

    def put(self) -> httpx.Response:
        """Appends an item of a kilobyte that no database makes shorter."""
        self._number += 1
        new = {"item_id": f"new{self._number}", "text": hashlib.shake_256(str(self._number).encode()).hexdigest(1000),
               "answer": answers_of(WRITER)[0]}  # fmt: skip
        answer = self.http.put(f"/v1/users/{WRITER}/history", json={"items": [new]})
        if answer.status_code == 200:
            self.stored.append(new["item_id"])
        return answer

    def put_until_refused(self) -> dict[str, Any]:
        """The refusal."""
        for _ in range(MOST):
            if (answer := self.put()).status_code != 200:
                return self.seen(answer)
        raise AssertionError("the disk has room for everything")

    def seen(self, answer: httpx.Response) -> dict[str, Any]:
        """A refusal, and what else clients get meanwhile: reads, questions, and another refusal."""
        asked = self.http.post("/v1/personalize", json={"user_id": READER, "query": "which ship"})
        return {
            "status": answer.status_code,
            "message": answer.json()["error"]["message"],
            "again": self.put().status_code,
            "history": self.http.get(f"/v1/users/{READER}/history").status_code,
            "asked": asked.status_code,
            "degraded": [one["reason"] for one in asked.json()["trace"]["degraded"]],
        }

    def found(self) -> list[str]:
        """Ids of the items that are there, without those of the run."""
        items = body_of(self.http.get(f"/v1/users/{WRITER}/export"))["items"]
        return [item["item_id"] for item in items if item["item_id"].startswith("new")]


def _logged(service: Running) -> list[str]:
    """What the replicas' logs say of what could not be stored."""
    texts = (file.read_text(errors="replace") for file in service.ray.rglob("worker-*.err"))
    return [line for text in texts for line in text.splitlines() if "NotStoredError: " in line]


def main(folder: Path) -> dict[str, Any]:
    """tables, log: see `Course.seen`; stored and found: as ids."""
    with small_disk(12 * 1024) as tables, small_disk(48 * 1024) as log:
        server = PostgresServer(log=log / "wal")
        try:
            server.execute(f"CREATE TABLESPACE small LOCATION '{tables}'")
            role = f"GRANT CREATE ON TABLESPACE small TO {ROLE}; ALTER ROLE {ROLE} SET default_tablespace = small"
            server.execute(role)
            with running(folder, f"database={server.new_url()}") as service, service.client() as http:
                course = Course(http)
                assert course.put().status_code == 200
                fill(tables)
                without_room = course.put_until_refused()
                (tables / BALLAST).unlink()
                until(lambda: course.put().status_code == 200, 60)
                fill(log)
                without_log = course.put_until_refused()
                (log / BALLAST).unlink()
                with contextlib.suppress(AssertionError):  # it comes back by itself
                    server.start()
                until(lambda: course.put().status_code == 200, 120)
                until(service.ready, 60)
                asked = http.post("/v1/personalize", json={"user_id": READER, "query": "which ship"})
                return {
                    "tables": without_room, "log": without_log, "stored": course.stored, "found": course.found(),
                    "degraded": asked.json()["trace"]["degraded"],
                    "said": _logged(service),
                }  # fmt: skip
        finally:
            server.remove()
