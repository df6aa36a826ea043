"""A real PostgreSQL server in a temporary folder, on a Unix socket alone, and schemas in it for tests."""

import os
import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path

PROGRAMS = ("initdb", "pg_ctl", "postgres")
NOBODY = 65534
OWNER, ROLE = "postgres", "hydra"
GUARDED, PASSWORD = "guarded", "right-Pa55word"
"""A role that the server asks for its password."""


def missing() -> str:
    """Why there can be no server here; empty if there can."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed (pip install -e '.[postgres]')"
    lacks = [name for name in PROGRAMS if not shutil.which(name)]
    if lacks:
        return f"PostgreSQL's {', '.join(lacks)} not on PATH"
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        return "PostgreSQL does not run as root, and there is no setpriv"
    return ""


class PostgresServer:
    """Started by the constructor. Data is not synced to the disk: a test kills processes, not machines.

    log: where the write-ahead log lies, if not with the data; nothing of it is removed, as where a standby is away.
    """

    def __init__(self, log: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg_"))  # short: a socket's path has 107 bytes at most
        if os.geteuid() == 0:
            os.chown(self.folder, NOBODY, NOBODY)
        self._numbers = count()
        form = ("-U", OWNER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        elsewhere = ("--waldir", str(log), "--wal-segsize=1") if log else ()
        self._run("initdb", "-D", "data", *form, *elsewhere)
        settings = {
            "listen_addresses": "''", "unix_socket_directories": f"'{self.folder}'", "fsync": "off",
            "shared_buffers": "16MB", "max_connections": 60, "autovacuum": "off", "log_min_messages": "fatal",
        }  # fmt: skip
        if log:
            settings |= {"min_wal_size": "2MB"}
        with (self.folder / "data" / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())
        access = self.folder / "data" / "pg_hba.conf"
        access.write_text(f"local all {GUARDED} scram-sha-256\n{access.read_text()}")
        self.start()
        self.execute(f"CREATE ROLE {GUARDED} LOGIN PASSWORD '{PASSWORD}'")
        self.execute(f"CREATE ROLE {ROLE} LOGIN; CREATE DATABASE users OWNER {ROLE}")
        if log:
            self.execute("SELECT pg_create_physical_replication_slot('standby', true)")

    def start(self) -> None:
        self._run("pg_ctl", "-D", "data", "-w", "-s", "-l", "log", "start")

    def stop(self, mode: str = "fast") -> None:
        """mode: fast: connections are closed; immediate: as a crash."""
        self._run("pg_ctl", "-D", "data", "-w", "-s", "-m", mode, "stop")

    def runs(self) -> bool:
        """Whether it does; a full disk can end it."""
        return (self.folder / "data" / "postmaster.pid").exists()

    def remove(self) -> None:
        if self.runs():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_url(self) -> str:
        """Of a schema without tables, which a role that is no superuser owns."""
        schema = f"s{next(self._numbers)}"
        self.execute(f"CREATE SCHEMA {schema} AUTHORIZATION {ROLE}", "users")
        return f"{self.url(ROLE)}&options=-csearch_path%3D{schema}"

    def url(self, role: str = OWNER, database: str = "users") -> str:
        return f"postgresql://{role}@/{database}?host={self.folder}"

    def execute(self, script: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Runs statements as superuser; returns the last one's rows."""
        import psycopg

        rows: list[tuple[object, ...]] = []
        with psycopg.connect(self.url(database=database), autocommit=True) as connection:
            for statement in script.split(";"):
                cursor = connection.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else []
        return rows

    def _run(self, *command: str) -> None:
        unprivileged = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        done = subprocess.run(
            [*(unprivileged if os.geteuid() == 0 else []), *command],
            cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{command[0]}: {done.stderr}"
