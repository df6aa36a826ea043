"""Requests that no well-behaved client writes, drawn at random, as bytes for the socket."""

import json
import random
from collections.abc import Callable
from typing import Any

Draw = random.Random

CHAT = {"model": "none", "messages": [{"role": "user", "content": "q"}], "user": "u", "n": 1, "temperature": 0.5}
PERSONALIZE = {"user_id": "u", "task": "none", "query": "q", "options": {"n": 1, "seed": 1, "plain": False}}
HISTORY = {"items": [{"item_id": "1", "text": "t", "answer": "a", "date": "2020-01-01"}]}
ROUTES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/v1/chat/completions", CHAT),
    ("POST", "/v1/personalize", PERSONALIZE),
    ("PUT", "/v1/users/u/history", HISTORY),
]
ODD_TEXTS = ["", " ", "\x00", "\ud800", "a\udfffb", "\u202e\u2066", "💥" * 300, "ﷺ", "\r\nX: y", "{{7*7}}", "x" * 5000]
ODD_NUMBERS = [-1, 0, 10**400, 1e308, -0.0, float("nan"), float("inf")]
ODD_VALUES: list[Any] = [None, True, [], {}, [[]], [None], {"a": {}}, "1", *ODD_NUMBERS, *ODD_TEXTS]
ODD_IDS = """
    .. ../.. %2e%2e %2E%2e%2F%2e. ..%2F..%2Fetc%2Fpasswd %00 a%00b %0a %0d%0aX:%20y %7F %C2%85 %FF %C0%AE%C0%AE
    %ED%A0%80 % %2 %zz %252e%252e %5c..%5c ~ * a;b .%2e %E2%80%AE acme%1Fu // %2F a/b/c
"""
LONG_IDS = ["", "x" * 257, "%F0%9F%92%A5" * 300]


def malformed(draw: Draw, key: str | None) -> bytes:
    """One request; every second one goes at a body."""
    kinds: list[Callable[[Draw, str], bytes]] = [
        _broken_json, _wrong_type, _wrong_type, _too_large, _odd_path, _odd_path, _odd_query, _odd_head, _odd_chunks
    ]  # fmt: skip
    return draw.choice(kinds)(draw, f"Authorization: Bearer {key}\r\n" if key else "")


def _request(method: str, path: str, head: str, body: bytes = b"", kind: str = "application/json") -> bytes:
    lines = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}"
    lines += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return lines.encode("utf-8", "surrogatepass") + body


def _broken_json(draw: Draw, head: str) -> bytes:
    method, path, tree = draw.choice(ROUTES)
    body = json.dumps(tree).encode()
    at = draw.randrange(len(body))
    broken = draw.choice(
        [
            body[:at],
            body[:at] + bytes([draw.randrange(256)]) + body[at:],
            body[:at] + body[at + 1 :],
            body + body,
            b"[" * draw.choice([100, 900, 1100, 50_000]),
            b'{"query":' * 2000 + b"1" + b"}" * 2000,
            b"\xef\xbb\xbf" + body,
            body.decode().encode("utf-16"),
            bytes(draw.randrange(256) for _ in range(50)),
            b"-",
            b"9" * draw.choice([5, 4299, 4301, 50_000]),
        ]
    )
    return _request(method, path, head, broken)


def _wrong_type(draw: Draw, head: str) -> bytes:
    """A valid body with one value, anywhere in it, replaced, or one field too many."""
    method, path, tree = draw.choice(ROUTES)
    tree = json.loads(json.dumps(tree))
    place: Any = tree
    while True:
        name = draw.choice(list(place)) if isinstance(place, dict) else draw.randrange(len(place))
        if not isinstance(place[name], dict | list) or draw.random() < 0.3:
            break
        place = place[name]
    if draw.random() < 0.2 and isinstance(place, dict):
        name = draw.choice(["none", *ODD_TEXTS])
    place[name] = draw.choice(ODD_VALUES)
    return _request(method, path, head, json.dumps(tree).encode())


def _too_large(draw: Draw, head: str) -> bytes:
    method, path, _ = draw.choice(ROUTES)
    size = (1 << 20) + draw.choice([1, 1000, 1 << 20])
    if draw.random() < 0.5:
        return _request(method, path, head, b" " * size)
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    lines = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n{head}"
    return lines.encode() + b"Content-Type: application/json\r\n\r\n" + chunk * (1 + size // 0x10000) + b"0\r\n\r\n"


def _odd_path(draw: Draw, head: str) -> bytes:
    user = draw.choice(ODD_IDS.split() + LONG_IDS)
    method, path = draw.choice(
        [("GET", ""), ("GET", "/export"), ("POST", "/fit"), ("DELETE", ""), ("PUT", "/history"), ("PATCH", "/..")]
    )
    prefix = draw.choice(["/v1/users/", "/v1/users/", "/v1/models/", "/v1//users/", "/V1/users/", "/", "/docs/"])
    body = json.dumps(HISTORY).encode() if method == "PUT" and draw.random() < 0.5 else b""
    return _request(method, prefix + user + path, head, body)


def _odd_query(draw: Draw, head: str) -> bytes:
    value = draw.choice(["%FF", "%00", "%0a", "-1", "0", "1001", "9" * 5000, "nan", "", "1&limit=x", "%ud800", "[]"])
    return _request("GET", f"/v1/users?{draw.choice(['prefix', 'limit', 'none', ''])}={value}", head)


def _odd_head(draw: Draw, head: str) -> bytes:
    method, path, _ = draw.choice(ROUTES)
    odd = draw.choice(
        [
            "Authorization: Bearer\r\n",
            "Authorization: Bearer é\r\n",
            f"Authorization: Bearer {'x' * 9000}\r\n",
            "Authorization: \r\n",
            "X-Request-Id: a b\r\n",
            f"X-Request-Id: {'x' * 9000}\r\n",
            "Content-Encoding: gzip\r\n",
            "Accept: nothing/*\r\n",
            "Expect: 200-never\r\n",
            "Cookie: " + "a=b;" * 1000 + "\r\n",
        ]
    )
    kind = draw.choice(["text/plain", "", "application/json; charset=\xff", "multipart/form-data", "application/xml"])
    return _request(draw.choice([method, "PATCH", "HEAD", "OPTIONS", "TRACE"]), path, odd + head, b"{}", kind)


def _odd_chunks(draw: Draw, head: str) -> bytes:
    """Framing that is wrong, or chunks of single bytes."""
    method, path, tree = draw.choice(ROUTES)
    body = json.dumps(tree).encode()
    chunks = draw.choice(
        [
            b"zz\r\n" + body + b"\r\n0\r\n\r\n",
            b"-1\r\n\r\n0\r\n\r\n",
            b"".join(b"1\r\n" + bytes([byte]) + b"\r\n" for byte in body[:-1]) + b"0\r\n\r\n",
            b"0\r\n\r\n",
        ]
    )
    lines = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n{head}"
    return lines.encode() + b"Content-Type: application/json\r\n\r\n" + chunks
