"""Malformed requests by the thousand against a running service:

    python -m tests.serve.fuzz http://127.0.0.1:8000 --count 10000 --key KEY

Half of them are drawn by schemathesis from the service's own OpenAPI document, against its rules; half are written to
the socket byte by byte (`tests.serve.malformed`). A fault is a 5xx, a traceback, no answer in time, or an answer that
the document does not allow.
"""

import argparse
import json
import random
import socket
import time
import urllib.request
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serve.malformed import malformed

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@dataclass
class Fuzzed:
    """What came of it. statuses: HTTP status -> how often. slowest_s: of all answers. faults: a line each."""

    statuses: Counter[int] = field(default_factory=Counter)
    slowest_s: float = 0.0
    faults: list[str] = field(default_factory=list)

    def note(self, asked: str, status: int, text: str, seconds: float) -> None:
        """Counts an answer, and looks at it."""
        self.statuses[status] += 1
        self.slowest_s = max(self.slowest_s, seconds)
        if status >= 500 or "Traceback" in text:
            self.faults.append(f"{asked[:300]} -> {status} {text[:300]}")


def fuzz(url: str, count: int, key: str | None = None, timeout_s: float = 30.0, number: int = 0) -> Fuzzed:
    """Sends `count` requests, at most half of them from the document. number: the same one sends the same requests."""
    fuzzed = Fuzzed()
    from_document(fuzzed, url, count // 2, key, timeout_s, number)
    by_hand(fuzzed, url, count - fuzzed.statuses.total(), key, timeout_s, number)
    return fuzzed


def from_document(fuzzed: Fuzzed, url: str, count: int, key: str | None, timeout_s: float, number: int) -> None:
    """Requests that break the rules of the service's OpenAPI document, evenly over its operations."""
    with urllib.request.urlopen(f"{url}/openapi.json", timeout=timeout_s) as answer:
        tree = json.load(answer)
    for operation in (operation for path in tree["paths"].values() for operation in path.values()):
        operation.pop("security", None)  # else most requests would end at the missing key
    document = schemathesis.openapi.from_dict(tree)
    operations = [result.ok() for result in document.get_all_operations()]
    # What takes nothing has no rules to break.
    breakable = [one for one in operations if one.body or list(one.iter_parameters())]
    session = requests.Session()
    if key:
        session.headers["Authorization"] = f"Bearer {key}"

    def send(case: schemathesis.Case) -> None:
        began = time.monotonic()
        try:
            answer = case.call(base_url=url, session=session, timeout=timeout_s)
        except requests.RequestException as error:
            fuzzed.faults.append(f"{case.operation.label}: no answer: {error!r}"[:600])
            return
        asked = f"{answer.request.method} {answer.request.url} {answer.request.body!r:.200}"
        fuzzed.note(asked, answer.status_code, answer.text, time.monotonic() - began)
        try:
            # A body over the limit is refused unread, so which other rule it breaks does not matter.
            refused_unread = [negative_data_rejection] if answer.status_code == 413 else []
            case.validate_response(answer, checks=CHECKS, excluded_checks=refused_unread)
        except BaseExceptionGroup as failures:
            fuzzed.faults += [f"{asked}: {failure}"[:900] for failure in failures.exceptions]

    limited = settings(
        max_examples=max(1, count // len(breakable)),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for operation in breakable:
        strategy = operation.as_strategy(schemathesis.GenerationMode.NEGATIVE)
        with suppress(Unsatisfiable):  # where no rule can be broken
            seed(number)(limited(given(strategy)(send)))()


def by_hand(fuzzed: Fuzzed, url: str, count: int, key: str | None, timeout_s: float, number: int) -> None:
    """Requests as no well-behaved client would write them."""
    where = urlsplit(url)
    draw = random.Random(number)
    for _ in range(count):
        request = malformed(draw, key)
        began = time.monotonic()
        try:
            answer = _exchange((where.hostname or "", where.port or 80), request, timeout_s)
        except TimeoutError:
            fuzzed.faults.append(f"{request[:300]!r}: no answer within {timeout_s:g} s")
            continue
        if not answer.startswith(b"HTTP/1.1 "):
            fuzzed.faults.append(f"{request[:300]!r}: {answer[:300]!r}")
            continue
        fuzzed.note(repr(request[:300]), int(answer[9:12]), answer.decode("latin-1"), time.monotonic() - began)


def _exchange(address: tuple[str, int], request: bytes, timeout_s: float) -> bytes:
    """The whole answer; every request asks for the connection to be closed after it."""
    answer = b""
    with socket.create_connection(address, timeout_s) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # a server may answer and close before it has read all
            connection.sendall(request)
        with suppress(ConnectionResetError):
            while part := connection.recv(1 << 16):
                answer += part
    return answer


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--key")
    parser.add_argument("--seed", type=int, default=0)
    given_args = parser.parse_args()
    began_at = time.monotonic()
    found = fuzz(given_args.url.rstrip("/"), given_args.count, given_args.key, number=given_args.seed)
    print(
        json.dumps(
            {
                "requests": found.statuses.total(),
                "statuses": dict(sorted(found.statuses.items())),
                "slowest_s": round(found.slowest_s, 3),
                "seconds": round(time.monotonic() - began_at, 1),
                "faults": len(found.faults),
                "first_faults": found.faults[:20],
            },
            indent=2,
        )
    )
    raise SystemExit(bool(found.faults))
