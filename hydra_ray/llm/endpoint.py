"""One HTTP attempt at an OpenAI-compatible chat server, and what its failures mean."""

import json
import math
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from hydra_ray import environment
from hydra_ray.config import LLMConfig
from hydra_ray.errors import UserError
from hydra_ray.llm.retry import RejectedError, TransientError, is_transient, parse_retry_after
from hydra_ray.llm.types import Finish, Record, Request

# Below the five seconds after which uvicorn closes an idle connection: a pooled one is never closed under our hands.
KEEPALIVE_S = 4.0
LONGEST_MESSAGE = 300
CONNECT_S = 10.0


class ChatEndpoint:
    """A pooled connection to `{base_url}/chat/completions`. Belongs to the event loop of its first call.

    base_url: e.g. `https://host/v1`. connections: pool size. Raises UserError if the URL or the key cannot be used.
    key: default, what the environment variable `llm.api_key_env` holds; it appears in no message.
    """

    def __init__(self, cfg: LLMConfig, base_url: str, connections: int, key: environment.Secret | None = None) -> None:
        self._cfg = cfg
        self._key = (key or environment.api_key(cfg.api_key_env)).value
        self.where = _checked(base_url)
        self._connections = connections
        self._proxy = _proxy(self.where)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Closes the pooled connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def body(self, request: Request, start: int, count: int) -> bytes:
        """The JSON of the call that draws samples `start` to `start + count`; a seed moves on with `start`."""
        tree: dict[str, Any] = {
            "model": self._cfg.model,
            "messages": list(request.messages),
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
        }
        if count > 1:
            tree["n"] = count
        if request.seed is not None:
            tree["seed"] = request.seed + start
        return json.dumps(tree).encode()

    async def chat(self, body: bytes, count: int, timeout_s: float | None = None) -> tuple[Record, bool]:
        """One attempt. The record (at most `count` texts) and whether the server counted its tokens.

        timeout_s: instead of `llm.timeout_s`; the wait for a connection of the pool counts. Raises TransientError,
        RejectedError, or UserError where every other request would fail alike.
        """
        status, headers, data = await self._send("POST", "/chat/completions", body, timeout_s)
        if status == 200:
            return _record(data, count)
        message = self._message(data)
        if is_transient(status):
            pause = parse_retry_after(headers.get("Retry-After"))
            raise TransientError(f"HTTP {status}: {message}", status=status, retry_after_s=pause)
        if status in {401, 402, 403, 404} or status < 400:
            raise self.refusal(status, headers)
        raise RejectedError(f"HTTP {status}: {message}")

    async def models(self, timeout_s: float | None = None) -> list[str] | None:
        """The model names that `GET /models` lists; None if the server has no such list. timeout_s: as for `chat`.

        Raises UserError if it refuses us, TransientError if it cannot be reached or is not ready.
        """
        status, headers, data = await self._send("GET", "/models", None, timeout_s)
        if status in {401, 403} or 300 <= status < 400:
            raise self.refusal(status, headers)
        if is_transient(status) and status != 501:
            raise TransientError(f"HTTP {status}: {self._message(data)}", status=status)
        try:
            return [str(model["id"]) for model in json.loads(data)["data"]] if status == 200 else None
        except (ValueError, KeyError, TypeError):
            return None

    def refusal(self, status: int, headers: Mapping[str, str]) -> UserError:
        """What the user should check after a status that every request would get."""
        name = self._cfg.api_key_env
        if status in {401, 403}:
            state = "is not accepted" if self._key else "is not set"
            return UserError(f"{self.where}: HTTP {status}: the key in environment variable {name} {state}: check it")
        if status == 402:
            return UserError(f"{self.where}: HTTP 402: the account has no credit left: top it up and run again")
        if status == 404:
            return UserError(
                f"{self.where}: HTTP 404: no such path or model: check llm.base_url (it usually ends in /v1) and "
                f"llm.model={self._cfg.model!r}"
            )
        to = headers.get("Location", "elsewhere")
        return UserError(f"{self.where}: HTTP {status}: redirects to {to}: set llm.base_url to the final address")

    async def _send(
        self, method: str, path: str, body: bytes | None, timeout_s: float | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        limit_s = self._cfg.timeout_s if timeout_s is None else timeout_s
        # From its threshold on, aiohttp rounds a timeout up to the next second.
        limit = aiohttp.ClientTimeout(total=limit_s, sock_connect=min(CONNECT_S, limit_s), ceil_threshold=math.inf)
        try:
            session = self._open()
            async with session.request(
                method, self.where + path, data=body, timeout=limit, allow_redirects=False, proxy=self._proxy
            ) as response:
                return response.status, response.headers, await response.read()
        except aiohttp.ClientConnectorError as error:
            cause = getattr(error, "os_error", None) or error
            reason = getattr(cause, "strerror", None) or type(cause).__name__
            raise TransientError(f"no connection to {self.where} ({reason})", unreachable=True) from None
        except TimeoutError as error:
            unreachable = isinstance(error, aiohttp.ConnectionTimeoutError)
            raise TransientError(
                f"no connection to {self.where} in time"
                if unreachable
                else f"no answer from {self.where} within "
                + (f"llm.timeout_s={limit_s:g}" if timeout_s is None else f"{limit_s:.3g} s"),
                maybe_billed=not unreachable,
                unreachable=unreachable,
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            reason = type(error).__name__
            raise TransientError(f"connection to {self.where} broke off ({reason})", maybe_billed=True) from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"Content-Type": "application/json"}
            if self._key:
                headers["Authorization"] = f"Bearer {self._key}"
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=KEEPALIVE_S),
                headers=headers,
            )
        return self._session

    def _message(self, data: bytes) -> str:
        """The server's own words, on one line, shortened, without the key."""
        text = data.decode(errors="replace")
        try:
            tree = json.loads(text)
            error = tree.get("error", tree)
            text = str(error.get("message", error) if isinstance(error, dict) else error)
        except (ValueError, AttributeError):
            pass
        return self._redact(" ".join(text.split()))[:LONGEST_MESSAGE] or "no message"

    def _redact(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text


def _checked(base_url: str) -> str:
    """The URL without a slash at its end. Raises UserError if it is none, or holds a password."""
    try:
        parts = urlsplit(base_url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UserError(f"llm.base_url: {base_url!r} is no URL: write it as https://host/v1")
    if "@" in parts.netloc:
        raise UserError(
            "llm.base_url: holds a user name or password: put the key into llm.api_key_env's variable instead"
        )
    return base_url.rstrip("/")


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for this address; none for this machine itself."""
    parts = urlsplit(url)
    if parts.hostname in {"localhost", "127.0.0.1", "::1"} or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def _record(data: bytes, count: int) -> tuple[Record, bool]:
    """The texts and token counts of an answer. Raises TransientError if it is none."""
    try:
        tree = json.loads(data)
        choices: Sequence[Any] = sorted(tree["choices"], key=lambda choice: choice.get("index", 0))[:count]
        texts = [str(choice["message"].get("content") or "") for choice in choices]
        finish = [_finish(text, choice) for text, choice in zip(texts, choices, strict=True)]
        usage = tree.get("usage") or {}
        prompt, completion = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise TransientError("the answer is not an OpenAI chat completion", maybe_billed=True) from None
    if not texts:
        raise TransientError("the answer holds no choices", maybe_billed=True)
    record = Record(texts=texts, prompt_tokens=prompt, completion_tokens=completion)
    if any(end != "stop" for end in finish):
        record["finish"] = finish
    return record, bool(usage)


def _finish(text: str, choice: Mapping[str, Any]) -> Finish:
    """How a choice ended."""
    reason = choice.get("finish_reason")
    if reason == "content_filter":
        return "content_filter"
    if not text.strip():
        message = choice["message"]
        return "thinking" if message.get("reasoning_content") or message.get("reasoning") else "empty"
    return "length" if reason == "length" else "stop"
