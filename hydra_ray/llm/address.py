"""Where a server is and how it is reached: base URL, query, proxy, certificates."""

import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from hydra_ray.config import is_secret
from hydra_ray.errors import UserError

CHAT = "/chat/completions"


@dataclass(frozen=True, slots=True)
class Address:
    """A base URL. where: without query, as messages show it. query: appended to every path, encoded."""

    where: str
    query: str = ""

    @classmethod
    def of(cls, base_url: str, query: Mapping[str, str] | None = None) -> "Address":
        """Blanks around the URL, a slash at its end and a pasted `/chat/completions` do no harm.

        query: added to the URL's own; wins over it. Raises UserError if it is no URL, or holds a password.
        """
        text = base_url.strip()
        head, mark, _ = text.partition("?")
        shown = f"{head}{mark}…" if mark else head
        try:
            parts = urlsplit(text)
            valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if valid and "@" in parts.netloc:
            raise UserError(
                "llm.base_url: holds a user name or password: put the key into llm.api_key_env's variable instead"
            )
        if not valid or any(blank in text for blank in " \t\r\n"):
            raise UserError(f"llm.base_url: {shown!r} is no URL: write it as https://host/v1")
        if parts.fragment:
            raise UserError(f"llm.base_url: {shown!r}: leave out what follows the #")
        path = parts.path.rstrip("/").removesuffix(CHAT).rstrip("/")
        secret = next((name for name in query_of(text) if is_secret(name)), None)
        if secret is not None:
            raise UserError(
                f"llm.base_url: holds a secret, {secret}: put it into an environment variable and write "
                f"llm.query.{secret}=$VARIABLE instead"
            )
        where = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
        return cls(where, urlencode(query_of(text, query)))

    def url(self, path: str) -> str:
        """The address of `path`, which begins with a slash."""
        return f"{self.where}{path}{'?' if self.query else ''}{self.query}"


def query_of(base_url: str, query: Mapping[str, str] | None = None) -> dict[str, str]:
    """The items of a URL's own query and of `query`, which win over them."""
    return {**dict(parse_qsl(urlsplit(base_url.strip()).query, keep_blank_values=True)), **(query or {})}


class Proxy(NamedTuple):
    """url: may hold a password. variable: of the environment, that names it."""

    url: str
    variable: str


def proxy_for(url: str) -> Proxy | None:
    """The proxy that the environment names for this address; none for this machine itself.

    Without a scheme it is an HTTP proxy, as curl takes it. Raises UserError, without its value, if it cannot be used.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in {"localhost", "127.0.0.1", "::1"} or urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    name = parts.scheme if proxies.get(parts.scheme) else "all"
    proxy = (proxies.get(name) or "").strip()
    if not proxy:
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    variable = f"environment variable {name}_proxy"  # curl's spelling; capitals do as well
    try:
        found = urlsplit(proxy)
        usable = bool(found.hostname) and found.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UserError(f"{variable} is no address of a proxy: write it as http://host:port, or unset it")
    if found.scheme not in {"http", "https"}:
        raise UserError(
            f"{variable} names a {found.scheme} proxy, and only http proxies can be used: unset it, or put the LLM's "
            "host into no_proxy"
        )
    return Proxy(proxy, f"{name}_proxy")


def certificates(file: str | None) -> ssl.SSLContext | None:
    """What servers must prove themselves with: the system's authorities and those in `llm.ca_bundle`.

    None: the system's alone. Raises UserError if the file holds no certificates.
    """
    if file is None:
        return None
    path = Path(file).expanduser()
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=path)
    except FileNotFoundError:
        raise UserError(f"llm.ca_bundle: {path}: no such file; give the authorities' certificates, in PEM") from None
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise UserError(f"llm.ca_bundle: {path}: cannot be read as certificates in PEM ({reason})") from None
    return context
