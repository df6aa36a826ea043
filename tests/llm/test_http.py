"""Calls over HTTP: what is sent, what a server's words mean, and a certificate of its own authority."""

import asyncio
import datetime
import json
import logging
import ssl
from urllib.parse import quote_plus

import pytest
from aiohttp import web

from hydra_ray.config import LLMConfig
from hydra_ray.errors import UserError
from hydra_ray.llm.client import LLMClient
from hydra_ray.llm.http import ChatHttpClient
from hydra_ray.llm.response_cache import CallOutcome, ResponseCache
from hydra_ray.llm.types import Request
from tests.llm.asking import KEY, VARIABLE, ask, go
from tests.llm.fake_server import FakeServer, completion, error
from tests.utils.spans import recorded


@pytest.fixture
def certificate(tmp_path):
    """A PEM file with a key and the certificate for `localhost` that it signed itself."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "own.pem"
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    own_key = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(own_key + made.public_bytes(pem))
    return file


def test_the_authority_of_a_server_of_ones_own(certificate):
    fake = FakeServer()
    request = Request(({"role": "user", "content": "a"},), max_tokens=4)

    async def ask(port, **settings):
        cfg = LLMConfig(model="m", **settings)
        endpoint = ChatHttpClient(cfg, f"https://localhost:{port}/v1", 1)
        try:
            return (await endpoint.chat(request, 0, 1)).record["texts"]
        finally:
            await endpoint.close()

    async def inner():
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        app = web.Application()
        app.router.add_post("/v1/chat/completions", fake.chat)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        port = runner.addresses[0][1]
        try:
            assert await ask(port, ca_bundle=str(certificate)) == ["a/0"]
            with pytest.raises(UserError, match=r"certificate is not accepted \(self.signed certificate\).*ca_bundle"):
                await ask(port)
        finally:
            await runner.cleanup()

    asyncio.run(inner())
    assert len(fake.bodies) == 1


def refusal(param, message, code="unsupported_parameter"):
    tree = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}
    return web.json_response(tree, status=400)


def reasoning_model(number, body):
    """Takes neither max_tokens nor a temperature, as OpenAI's newer models."""
    if "max_tokens" in body:
        return refusal("max_tokens", "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                       "'max_completion_tokens' instead.")  # fmt: skip
    if body.get("temperature", 1) != 1:
        return refusal("temperature", "Unsupported value: 'temperature' does not support 0 with this model. Only the "
                       "default (1) value is supported.", "unsupported_value")  # fmt: skip
    return None


def test_parameters_that_a_model_refuses_are_found_out_at_the_first_call(tmp_path):
    fake = FakeServer(reasoning_model)
    answers, ledger = go(tmp_path, fake, [ask(f"q{i}") for i in range(20)])
    assert [a.texts for a in answers] == [(f"q{i}/0",) for i in range(20)]
    assert len(fake.bodies) == 22
    assert all(body["max_completion_tokens"] == 4 for body in fake.bodies[2:])
    assert not any({"max_tokens", "temperature"} & set(body) for body in fake.bodies[2:])
    assert (ledger.counts().calls, ledger.counts().failed, ledger.counts().retries) == (20, 0, 0)


def test_samples_differ_where_seed_and_n_are_unknown(tmp_path):
    def script(number, body):
        for name in ("seed", "n"):
            if name in body:
                wrong = {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"}
                return web.json_response({"detail": [wrong]}, status=422)
        return completion([f"s{number}"])

    fake = FakeServer(script)
    answers, _ = go(tmp_path, fake, [ask("a", 4, seed=3), ask("b", 4, seed=3)])
    assert all(len(set(answer.texts)) == 4 for answer in answers)
    assert len(fake.bodies) == 2 + 8
    again, _ = go(tmp_path, fake, [ask("a", 4, seed=3), ask("b", 4, seed=3)])
    assert [a.texts for a in again] == [a.texts for a in answers]
    assert len(fake.bodies) == 10


def test_what_the_config_adds_is_sent(tmp_path, monkeypatch):
    monkeypatch.setenv("HYDRA_RAY_TEST_KEY", KEY)
    monkeypatch.setenv("MY_TEAM", "blue-team")
    fake = FakeServer()
    go(
        tmp_path, fake, [ask("a")], system_prompt="Be brief.", top_p=0.5, extra_body={"reasoning_effort": "low"},
        headers={"X-Team": "$MY_TEAM"}, query={"api-version": "1 b"}, auth_header="api-key",
        parameters={"max_tokens": "max_output_tokens", "temperature": None},
    )  # fmt: skip
    assert fake.bodies[0] == {
        "model": "m", "max_output_tokens": 4, "top_p": 0.5, "reasoning_effort": "low",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a"}],
    }  # fmt: skip
    assert fake.urls == ["/v1/chat/completions?api-version=1+b"]
    assert (fake.headers[0]["X-Team"], fake.headers[0]["api-key"], fake.keys) == ("blue-team", KEY, [""])


def test_header_values_are_cut_out_of_the_servers_messages(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", KEY)
    fake = FakeServer(lambda number, body: error(400, f"what is {KEY}?"))
    answers, _ = go(tmp_path, fake, [ask("a")], headers={"X-Token": "$MY_TOKEN"})
    assert answers[0].error == "HTTP 400: what is [key]?"


@pytest.mark.parametrize("path", ["/v2/chat/completions?key={}", "/{}/chat/completions"])
@pytest.mark.parametrize("sent", [KEY, "a+b/c=d"])
def test_a_redirect_shows_no_secret_of_the_query(tmp_path, monkeypatch, path, sent):
    monkeypatch.setenv("MY_TOKEN", sent)
    location = path.format(quote_plus(sent))
    fake = FakeServer(lambda number, body: error(301, "moved", Location=location))
    with pytest.raises(UserError, match=r"redirects to /.*/chat/completions: set llm\.base_url") as caught:
        go(tmp_path, fake, [ask("a")], query={"key": "$MY_TOKEN"})
    assert sent not in str(caught.value)
    assert quote_plus(sent) not in str(caught.value)


def test_the_key_is_cut_out_of_an_error_code_inside_a_200(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, KEY)
    fake = FakeServer(lambda number, body: web.json_response({"error": {"message": "no", "code": f"what is {KEY}?"}}))
    answers, _ = go(tmp_path, fake, [ask("a")], retries=0)
    assert answers[0].error == "error what is [key]?: no"


def test_system_messages_are_one(tmp_path):
    fake = FakeServer()
    messages = ({"role": "system", "content": "Be kind."}, {"role": "user", "content": "a"})
    go(tmp_path, fake, [Request(messages, max_tokens=4)], system_prompt="Be brief.")
    assert [m["content"] for m in fake.bodies[0]["messages"]] == ["Be brief.\n\nBe kind.", "a"]


def test_an_error_inside_a_200_costs_nothing(tmp_path):
    def script(number, body):
        if number < 2:
            return web.json_response({"error": {"message": "The upstream is overloaded", "code": 502}})
        return None

    answers, ledger = go(tmp_path, FakeServer(script), [ask("a")])
    assert answers[0].texts == ("a/0",)
    assert (ledger.counts().calls, ledger.counts().retries) == (1, 2)
    always = FakeServer(lambda number, body: script(0, body))
    answers, ledger = go(tmp_path, always, [ask("b")], retries=1)
    assert answers[0].error == "error 502: The upstream is overloaded"
    assert not answers[0].permanent
    assert ledger.counts().calls == 1
    picky = FakeServer(
        lambda number, body: (
            web.json_response({"error": {"message": "temperature is not supported", "code": 400}})
            if "temperature" in body
            else None
        )
    )
    answers, _ = go(tmp_path, picky, [ask("d")])
    assert (answers[0].texts, len(picky.bodies)) == (("d/0",), 2)
    flagged = FakeServer(lambda number, body: web.json_response({"error": {"message": "bad", "code": 400}}))
    answers, _ = go(tmp_path, flagged, [ask("c")])
    assert (answers[0].error, answers[0].permanent, len(flagged.bodies)) == ("error 400: bad", True, 1)


def test_half_a_character_never_enters_the_cache_and_one_that_is_there_is_read(tmp_path):
    fake = FakeServer(lambda number, body: web.Response(text='{"choices": [{"message": {"content": "a \\ud83d"}}]}'))
    answers, _ = go(tmp_path, fake, [ask("a")])
    assert answers[0].texts == ("a \ufffd",)
    ledger = ResponseCache(tmp_path / "old.sqlite", "run")
    (one,) = ledger.exchange([], [0.0])
    ledger.exchange(
        [CallOutcome(one, "k", {"texts": ["a \ud83d"], "prompt_tokens": 1, "completion_tokens": 1}, calls=1)]
    )
    assert ledger.get_many(["k"])[0]["texts"] == ["a \ufffd"]


def test_a_body_that_holds_the_request_is_json(tmp_path):
    fake = FakeServer()
    go(tmp_path, fake, [ask("half \ud83d")])
    assert json.loads(json.dumps(fake.bodies[0]))["messages"][0]["content"] == "half \ud83d"


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, VARIABLE), (402, "top it up"), (403, VARIABLE), (404, "llm.base_url"), (307, "final address")],
)
def test_what_every_request_would_get_ends_the_run_at_once(tmp_path, monkeypatch, caplog, status, hint):
    monkeypatch.setenv(VARIABLE, KEY)
    caplog.set_level(logging.DEBUG)
    fake = FakeServer(lambda number, body: error(status, f"wrong key {KEY}"))
    with pytest.raises(UserError, match=hint) as caught:
        go(tmp_path, fake, [ask(f"q{i}") for i in range(50)], concurrency=2)
    assert len(fake.bodies) <= 2
    assert fake.keys[0] == f"Bearer {KEY}"
    assert "\n" not in str(caught.value)
    assert KEY not in str(caught.value) + caplog.text + repr(caught.value.__context__)


def test_the_key_is_cut_out_of_the_servers_messages(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, KEY)
    answers, _ = go(tmp_path, FakeServer(lambda number, body: error(400, f"key {KEY}?")), [ask("a")])
    assert answers[0].error == "HTTP 400: key [key]?"


def test_a_key_with_a_line_break_is_refused_unseen(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, f"{KEY}\nx")
    with pytest.raises(UserError, match=VARIABLE) as caught:
        go(tmp_path, FakeServer(), [ask("a")])
    assert KEY not in str(caught.value)


def test_no_server_there(tmp_path):
    ledger = ResponseCache(tmp_path / "l", "r")
    cfg = LLMConfig(base_url="http://127.0.0.1:9/v1", retries=1, retry_backoff_s=0.01)
    client = LLMClient(cfg, ledger)
    with pytest.raises(UserError, match=r"no connection to http://127\.0\.0\.1:9/v1"):
        client.complete_sync([ask("a")])
    with pytest.raises(UserError, match=r"llm\.base_url.*is the server running"):
        client.check_sync()
    client.close_sync()
    assert ledger.counts().calls == 0


@pytest.mark.parametrize("url", ["host/v1", "ftp://host", "http://", "http://h:notaport/v1", "http://u:secret@h/v1"])
def test_urls_that_are_none(tmp_path, url):
    with pytest.raises(UserError, match=r"llm\.base_url") as caught:
        LLMClient(LLMConfig(base_url=url), ResponseCache(tmp_path / "l", "r"), identity="m")
    assert "secret" not in str(caught.value)


def test_each_request_has_a_span_that_the_server_can_continue(tmp_path):
    fake = FakeServer(lambda number, body: error(503, "the-words") if number == 0 else None)
    go(tmp_path, fake, [ask("a")])
    assert "traceparent" not in fake.headers[0]
    with recorded() as exporter:
        go(tmp_path, again := FakeServer(fake.script), [ask("the-query")], retry_backoff_s=0.01)
    spans = [span for span in exporter.get_finished_spans() if span.name == "LLM POST"]
    assert [span.attributes["http.response.status_code"] for span in spans] == [503, 200]
    assert [span.status.description for span in spans] == ["HTTP 503", None]
    made = [
        f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-{span.context.trace_flags:02x}" for span in spans
    ]
    assert [headers["traceparent"] for headers in again.headers] == made
    assert not [word for word in ("the-query", "the-words") if word in " ".join(span.to_json() for span in spans)]
