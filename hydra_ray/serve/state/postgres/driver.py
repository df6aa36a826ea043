"""PostgreSQL's client library, which only services with a database need."""

from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from hydra_ray.errors import UserError


def psycopg() -> ModuleType:
    """The library. Raises UserError where it is not installed."""
    try:
        import psycopg as library
    except ImportError:
        raise UserError(
            "`database`: the client library is not installed; in the clone, run: pip install -e '.[postgres]'"
        ) from None
    return library


NO_URL = "is no postgresql://USER@HOST:PORT/DATABASE that can be read; correct it"


def is_url(text: str) -> bool:
    """Whether a text is meant as a database's URL."""
    return text.startswith(("postgresql://", "postgres://"))


def mistake_in(url: str) -> str:
    """What is wrong with a database's URL, without repeating it; empty if nothing is."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return NO_URL
    if not is_url(url):
        return NO_URL
    if parts.password is not None or any(name in ("password", "sslpassword") for name, _ in parse_qsl(parts.query)):
        return (
            "holds a password, which would be printed and sent around with the configuration; take it out, and set "
            "PGPASSWORD or PGPASSFILE on every node"
        )
    return ""


def conninfo(url: str) -> dict[str, Any]:
    """A URL's parts, as libpq names them. Raises UserError, never with a password in it."""
    library = psycopg()
    from psycopg.conninfo import conninfo_to_dict

    if mistake := mistake_in(url):
        raise UserError(f"`database`: {mistake}")
    try:
        return dict(conninfo_to_dict(url))
    except library.ProgrammingError:  # its words quote the URL
        raise UserError(f"`database`: {NO_URL}") from None


def shown(url: str) -> str:
    """The database in words, without a password; needs no library."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    host = parts.netloc.rpartition("@")[2] or query.get("host", "localhost")
    return f"database {parts.path.strip('/') or query.get('dbname', '')!r} at {host}"
