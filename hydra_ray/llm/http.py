"""One call to an OpenAI-compatible chat server over HTTP, and what its failures mean."""

import contextlib
import json
import math
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any

import aiohttp

from hydra_ray.config import LLMConfig
from hydra_ray.core.prompts import Message, with_system_prompt
from hydra_ray.env import Secret
from hydra_ray.errors import UserError
from hydra_ray.llm.access import credentials
from hydra_ray.llm.address import CHAT, Address, certificates, proxy_for
from hydra_ray.llm.dialect import dialect_of
from hydra_ray.llm.durations import seconds_until
from hydra_ray.llm.endpoint import Reply
from hydra_ray.llm.http_errors import Problem, is_out_of_credit, is_too_large, is_too_long, read_problem
from hydra_ray.llm.rate_headers import read_rates
from hydra_ray.llm.response_parsing import ErrorInAnswerError, Usage, most_usage, read_answer, read_usage
from hydra_ray.llm.retry import (
    LONGEST_PAUSE_S,
    RejectedError,
    SuspectError,
    TooLongError,
    TransientError,
    is_transient,
)
from hydra_ray.llm.streaming import Take, read_stream
from hydra_ray.llm.types import CachedResponse, Request
from hydra_ray.utils.tracing import span, trace_headers

# Below the five seconds after which uvicorn closes an idle connection: a pooled one is never closed under our hands.
KEEPALIVE_S = 4.0
LONGEST_MESSAGE = 300
CONNECT_S = 10.0
MOST_CHANGES = 8
"""Parameters that one call may find out about."""
KEPT = ("n",)
"""Our names of the parameters that stay in a forwarded request as the caller gave them."""
SUSPICIOUS = 8
"""Prompts refused in a row, each with a status that may mean all prompts, before the server is suspected again."""
OF_ONE_OR_ALL = frozenset({403, 404, 451})
"""Statuses that servers give to one prompt (moderation) as well as to everything (key, address, model)."""


class ChatHttpClient:
    """A pooled connection to `{base_url}/chat/completions`. Belongs to the event loop of its first call.

    base_url: e.g. `https://host/v1`. connections: pool size. key: default, what this process's environment holds
    (see `hydra_ray.llm.access`); it appears in no message. Raises UserError if URL, key, header, proxy or certificates
    cannot be used.
    """

    def __init__(self, cfg: LLMConfig, base_url: str, connections: int, key: Secret | None = None) -> None:
        self._cfg = cfg
        self._access = credentials(cfg, key)
        self._address = Address.of(base_url, self._access.query)
        self.where = self._address.where
        self.dialect = dialect_of(cfg, self._address.where)
        self._connections = connections
        self._proxy = proxy_for(self.where)
        self._certificates = certificates(cfg.ca_bundle)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Closes the pooled connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def messages(self, request: Request) -> list[Message]:
        """The request's messages after `llm.system_prompt`; two system messages become one, which all servers take."""
        return with_system_prompt(request.messages, self._cfg.system_prompt)

    def most(self, request: Request, count: int) -> Usage:
        """The most tokens that a call for `count` samples can take."""
        return most_usage(self.messages(request), count, request.max_tokens)

    async def chat(
        self,
        request: Request,
        start: int,
        count: int,
        timeout_s: float | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> Reply:
        """The samples `start` to `start + count` of a request, at most; fewer where the server gives fewer.

        A parameter that the server refuses by name is renamed or left out, for all later calls too; a refused call is
        not billed. timeout_s: instead of `llm.timeout_s`; the wait for a connection of the pool counts. more: further
        parameters of this call, which are never left out.
        Raises TransientError; RejectedError (TooLongError) where it will never answer this request; UserError where
        every other request would fail alike, SuspectError where it may be so.
        """

        def parameters() -> dict[str, Any]:
            return self.dialect.parameters(self._cfg, request, start, count)

        most = self.most(request, count)
        more = {**({"model": request.lora} if request.lora else {}), **(more or {})}
        record, headers, _ = await self._ask(parameters, self.messages(request), more, count, most, timeout_s)
        return Reply(record, read_rates(headers, time.time()))

    async def forward(
        self, messages: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any], timeout_s: float
    ) -> tuple[CachedResponse, dict[str, Any]]:
        """A client's own chat request, with parameters and messages of all kinds.

        Args:
            messages: as the server takes them; `llm.system_prompt` comes before them.
            parameters: of the request, without model and stream; they go under the server's own names.
            timeout_s: as for `chat`.

        Returns:
            The texts and tokens of the answer, and all of it as it came.

        Raises:
            TransientError, RejectedError, UserError: as `chat` does.
        """
        first = [{"role": "system", "content": self._cfg.system_prompt}] if self._cfg.system_prompt else []
        count = parameters.get("n") or 1
        most = Usage(len(json.dumps([*messages])), 0)
        record, _, data = await self._ask(
            lambda: self.dialect.forwarded(parameters), [*first, *messages], {}, count, most, timeout_s, KEPT
        )
        tree = json.loads(data)
        tree = tree[0] if isinstance(tree, list) else tree
        # What it does not count took at most as many tokens as it has bytes.
        length = sum(len(text.encode()) for text in record["texts"])
        used = read_usage(tree.get("usage"), Usage(most.prompt_tokens, length))
        return {**record, "prompt_tokens": used.prompt_tokens, "completion_tokens": used.completion_tokens}, tree

    async def forward_stream(
        self,
        messages: Sequence[Mapping[str, Any]],
        parameters: Mapping[str, Any],
        timeout_s: float,
        take: Take,
    ) -> CachedResponse:
        """`forward`, the answer's chunks as they come; the whole answer where the server does not stream.

        Args:
            messages: as for `forward`.
            parameters: as for `forward`.
            timeout_s: for the whole answer.
            take: gets them.

        Returns:
            The tokens of the answer; its texts are gone.

        Raises:
            TransientError, RejectedError, UserError: as `chat` does, after some chunks have been taken, too.
        """
        deadline = time.monotonic() + timeout_s
        first = [{"role": "system", "content": self._cfg.system_prompt}] if self._cfg.system_prompt else []
        counted: dict[str, Any] = {"stream_options": {"include_usage": True}}
        for _ in range(MOST_CHANGES):
            sent = self.dialect.forwarded(parameters)
            body = {"model": self._cfg.model, "messages": [*first, *messages], **sent, **self._cfg.extra_body}
            body |= {"stream": True, **counted}
            data = json.dumps(body).encode()
            async with self._response("POST", CHAT, data, deadline - time.monotonic()) as response:
                if response.status == 200:
                    try:
                        used = await read_stream(response, Usage(len(json.dumps([*messages])), 0), take)
                    except ErrorInAnswerError as error:
                        raise self._failure(error.status, response.headers, error.problem, inside=True) from None
                    self.dialect.note_answer(1, 1)
                    return CachedResponse(
                        texts=[], prompt_tokens=used.prompt_tokens, completion_tokens=used.completion_tokens
                    )
                status, headers, problem = response.status, response.headers, read_problem(await response.read())
            if status in {400, 422} and not (is_too_long(problem) or is_out_of_credit(problem)):
                if counted and "stream_options" in problem.message:
                    counted = {}
                    continue
                if self.dialect.learn(problem, sent, KEPT) or self.dialect.forwarded(parameters) != sent:
                    continue
            raise self._failure(status, headers, problem)
        raise RejectedError(f"HTTP {status}: {self._words(problem)}")

    async def _ask(
        self,
        parameters: Callable[[], dict[str, Any]],
        messages: Sequence[Mapping[str, Any]],
        more: Mapping[str, Any],
        count: int,
        most: Usage,
        timeout_s: float | None,
        kept: Collection[str] = (),
    ) -> tuple[CachedResponse, Mapping[str, str], bytes]:
        """An answer, its headers and body, once the server takes the parameters, which are made anew after each lesson.

        count, most: see `read_answer`. kept: see `Dialect.learn`.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        for _ in range(MOST_CHANGES):
            sent = parameters()
            body = {"model": self._cfg.model, "messages": messages, **sent, **more, **self._cfg.extra_body}
            left_s = None if deadline is None else deadline - time.monotonic()
            code, headers, data = await self._send("POST", CHAT, json.dumps(body).encode(), left_s)
            status: int | None = code
            if code == 200:
                try:
                    record = read_answer(data, count, most)
                except ErrorInAnswerError as error:
                    status, problem = error.status, error.problem
                else:
                    self.dialect.note_answer(len(record["texts"]), count)
                    return record, headers, data
            else:
                problem = read_problem(data)
            may_learn = status in {400, 422} and not (is_too_long(problem) or is_out_of_credit(problem))
            if may_learn and (self.dialect.learn(problem, sent, kept) or parameters() != sent):
                continue
            raise self._failure(status, headers, problem, inside=code == 200)
        raise RejectedError(f"HTTP {status}: {self._words(problem)}")

    async def models(self, timeout_s: float | None = None) -> list[str] | None:
        """The model names that `GET /models` lists; None if the server has no such list, or not for this key (403: it
        may still chat). timeout_s: as for `chat`.

        Raises UserError if it refuses us, TransientError if it cannot be reached or is not ready.
        """
        status, headers, data = await self._send("GET", "/models", None, timeout_s)
        if status == 401 or 300 <= status < 400:
            raise self._refusal(status, headers, read_problem(data))
        if is_transient(status) and status != 501:
            raise self._failure(status, headers, read_problem(data))
        try:
            return [str(model["id"]) for model in json.loads(data)["data"]] if status == 200 else None
        except (ValueError, KeyError, TypeError):
            return None

    def _failure(
        self, status: int | None, headers: Mapping[str, str], problem: Problem, inside: bool = False
    ) -> Exception:
        """What a call that is not answered raises. inside: it is an error in the body of a 200."""
        code = status or self._redacted(problem.code) or 200
        words = f"{'error' if inside else 'HTTP'} {code}: {self._words(problem)}"
        retry_after = headers.get("Retry-After")
        if "retry-after-ms" in headers:
            retry_after = f"{headers['retry-after-ms']}ms"
        named_s = problem.pause_s if retry_after is None else seconds_until(retry_after, time.time())
        if status in {400, 402, 403, 429, None} and is_out_of_credit(problem, named_s):
            return UserError(
                f"{self.where}: {words}: the account has no quota or credit left: check its plan and billing, then run "
                "again; everything answered so far is kept"
            )
        if status == 429 and is_too_large(problem):
            return TooLongError(words)
        if status is None or is_transient(status):
            if named_s is not None and named_s > LONGEST_PAUSE_S:
                return UserError(
                    f"{self.where}: {words}: it asks to come back in {named_s / 60:.0f} minutes: run again then; "
                    "everything answered so far is kept"
                )
            return TransientError(words, status=status, retry_after_s=named_s, rates=read_rates(headers, time.time()))
        if status in {401, 402, 407} or status < 400:
            return self._refusal(status, headers, problem)
        if status in OF_ONE_OR_ALL:
            self.dialect.refused_in_row += 1
            rejection = RejectedError(words, str(self._refusal(status, headers, problem)))
            suspect = not self.dialect.answered or self.dialect.refused_in_row >= SUSPICIOUS
            return SuspectError(rejection) if suspect else rejection
        return TooLongError(words) if status == 413 or is_too_long(problem) else RejectedError(words)

    def _refusal(self, status: int, headers: Mapping[str, str], problem: Problem) -> UserError:
        """What the user should check after a status that every request would get."""
        where, words = f"{self.where}: HTTP {status}", self._words(problem)
        if status in {401, 403}:
            state = "is not accepted" if self._access.value else "is not set"
            return UserError(f"{where}: the key in environment variable {self._cfg.api_key_env} {state}: check it "
                             f"({words})")  # fmt: skip
        if status == 402:
            return UserError(f"{where}: the account has no credit left: top it up and run again ({words})")
        if status == 404:
            return UserError(
                f"{where}: no such path or model: check llm.base_url (it usually ends in /v1) and "
                f"llm.model={self._cfg.model!r} ({words})"
            )
        if status == 407:
            variable = self._proxy.variable if self._proxy else "http_proxy"
            return UserError(f"{where}: the proxy in environment variable {variable} asks for a password: check it")
        if status == 451:
            return UserError(f"{where}: it does not answer from here ({words})")
        to = self._redacted(headers.get("Location", "elsewhere").partition("?")[0])
        return UserError(f"{where}: redirects to {to}: set llm.base_url to the final address")

    async def _send(
        self, method: str, path: str, body: bytes | None, timeout_s: float | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        async with self._response(method, path, body, timeout_s) as response:
            return response.status, response.headers, await response.read()

    @contextlib.asynccontextmanager
    async def _response(
        self, method: str, path: str, body: bytes | None, timeout_s: float | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response whose body is still to be read; what goes wrong then is raised in the same words."""
        limit_s = self._cfg.timeout_s if timeout_s is None else max(timeout_s, 1e-3)
        # From its threshold on, aiohttp rounds a timeout up to the next second.
        limit = aiohttp.ClientTimeout(total=limit_s, sock_connect=min(CONNECT_S, limit_s), ceil_threshold=math.inf)
        proxy = self._proxy.url if self._proxy else None
        via = f" through the proxy in environment variable {self._proxy.variable}" if self._proxy else ""
        try:
            session, url = self._open(), self._address.url(path)
            with span(f"LLM {method}", "client") as call:
                async with session.request(
                    method, url, data=body, timeout=limit, allow_redirects=False, proxy=proxy, headers=trace_headers()
                ) as response:
                    call.set(http__response__status_code=response.status)
                    if response.status >= 400:
                        call.fail(f"HTTP {response.status}")
                    yield response
        except aiohttp.ClientConnectorCertificateError as error:
            cause = error.certificate_error
            reason = getattr(cause, "verify_message", None) or type(cause).__name__
            raise UserError(
                f"{self.where}: its certificate is not accepted ({reason}): check llm.base_url, or give the authority "
                "of a server of your own in llm.ca_bundle"
            ) from None
        except aiohttp.ClientConnectorError as error:
            cause = getattr(error, "os_error", None) or error
            reason = getattr(cause, "strerror", None) or type(cause).__name__
            raise TransientError(f"no connection to {self.where}{via} ({reason})", unreachable=True) from None
        except aiohttp.ClientHttpProxyError as error:
            raise TransientError(
                f"no connection to {self.where}{via} (it answers HTTP {error.status})",
                unreachable=True,
            ) from None
        except TimeoutError as error:
            unreachable = isinstance(error, aiohttp.ConnectionTimeoutError)
            raise TransientError(
                f"no connection to {self.where}{via} in time"
                if unreachable
                else f"no answer from {self.where} within "
                + (f"llm.timeout_s={limit_s:g}" if timeout_s is None else f"{limit_s:.3g} s"),
                timed_out=not unreachable,
                maybe_billed=not unreachable,
                unreachable=unreachable,
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            reason = type(error).__name__
            raise TransientError(f"connection to {self.where} broke off ({reason})", maybe_billed=True) from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"Content-Type": "application/json"}
            if self._access.value:
                bearer = self._cfg.auth_header.lower() == "authorization"
                headers[self._cfg.auth_header] = f"Bearer {self._access.value}" if bearer else self._access.value
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._connections, keepalive_timeout=KEEPALIVE_S, ssl=self._certificates or True
                ),
                headers={**headers, **self._access.headers},
            )
        return self._session

    def _words(self, problem: Problem) -> str:
        """The server's own words, shortened, without key, headers and query items."""
        return self._redacted(problem.message)

    def _redacted(self, text: str) -> str:
        """Any text of the server's, shortened, without key, headers and query items."""
        for secret in self._access.secrets:
            text = text.replace(secret, "[key]")
        return text[:LONGEST_MESSAGE]
