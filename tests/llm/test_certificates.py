"""A chat server with a certificate of its own authority, over TLS on this machine."""

import asyncio
import datetime
import ssl

import pytest
from aiohttp import web

from hydra_ray.config import LLMConfig
from hydra_ray.errors import UserError
from hydra_ray.llm.http import ChatHttpClient
from hydra_ray.llm.types import Request
from tests.llm.fake_server import FakeServer

x509 = pytest.importorskip("cryptography.x509")


@pytest.fixture
def certificate(tmp_path):
    """A PEM file with a key and the certificate for `localhost` that it signed itself."""
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
