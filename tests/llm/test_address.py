import ssl

import pytest

from hydra_ray.errors import UserError
from hydra_ray.llm.address import Address, certificates, proxy_for


@pytest.mark.parametrize(
    ("base_url", "query", "url"),
    [
        ("https://h/v1", {}, "https://h/v1/chat/completions"),
        ("https://h/v1/", {}, "https://h/v1/chat/completions"),
        ("  https://h/v1\n", {}, "https://h/v1/chat/completions"),
        ("https://h/v1?api-version=2024-10-21", {}, "https://h/v1/chat/completions?api-version=2024-10-21"),
        ("https://h/v1/?a=1&b=", {"c": "x y"}, "https://h/v1/chat/completions?a=1&b=&c=x+y"),
        ("https://h/v1?a=1", {"a": "2"}, "https://h/v1/chat/completions?a=2"),
        ("https://h/v1/chat/completions", {}, "https://h/v1/chat/completions"),
        ("https://h/openai/deployments/d/chat/completions?api-version=1", {},
         "https://h/openai/deployments/d/chat/completions?api-version=1"),
        ("http://h:81", {}, "http://h:81/chat/completions"),
    ],
)  # fmt: skip
def test_the_path_goes_before_the_query(base_url, query, url):
    assert Address.of(base_url, query).url("/chat/completions") == url


def test_messages_show_no_query():
    assert Address.of("https://h/v1?a=1").where == "https://h/v1"


@pytest.mark.parametrize("url", ["h/v1", "https://h/v 1", "https://h/v1#x", "https://", "https://u:pass@h/v1"])
def test_what_is_no_address(url):
    with pytest.raises(UserError, match=r"llm\.base_url") as caught:
        Address.of(url)
    assert "pass" not in str(caught.value).replace("password", "")


@pytest.mark.parametrize(
    "url", ["h/v1?key=verysecret", "https://h/v1?key=verysecret#x", "https://h/v1?key=very secret"]
)
def test_what_is_no_address_is_shown_without_its_query(url):
    with pytest.raises(UserError, match=r"h/v1\?…'") as caught:
        Address.of(url)
    assert "secret" not in str(caught.value)


def test_a_secret_in_the_query_is_refused_unseen():
    with pytest.raises(UserError, match=r"llm\.query\.api_key=\$VARIABLE") as caught:
        Address.of("https://h/v1?api_key=verysecret")
    assert "verysecret" not in str(caught.value)


@pytest.fixture
def no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("variable", "value", "proxy"),
    [
        ("http_proxy", "127.0.0.1:9", "http://127.0.0.1:9"),
        ("http_proxy", "http://p:3128", "http://p:3128"),
        ("HTTP_PROXY", "p:3128", "http://p:3128"),
        ("all_proxy", "p:3128", "http://p:3128"),
        ("https_proxy", "p:3128", None),
        ("http_proxy", " ", None),
    ],
)
def test_the_proxy_of_the_environment(no_proxies, variable, value, proxy):
    no_proxies.setenv(variable, value)
    assert proxy_for("http://h:81/v1") == (proxy and (proxy, variable.lower()))
    assert proxy_for("http://127.0.0.1:81/v1") is None
    no_proxies.setenv("no_proxy", "h")
    assert proxy_for("http://h:81/v1") is None


@pytest.mark.parametrize("value", ["socks5://u:secret@p:1080", "http://", "http://p:port"])
def test_a_proxy_that_cannot_be_used_is_named_by_its_variable(no_proxies, value):
    no_proxies.setenv("https_proxy", value)
    with pytest.raises(UserError, match="environment variable https_proxy") as caught:
        proxy_for("https://h/v1")
    assert "secret" not in str(caught.value)


def test_certificates(tmp_path):
    assert certificates(None) is None
    with pytest.raises(UserError, match=r"llm\.ca_bundle: .*no such file"):
        certificates(str(tmp_path / "none.pem"))
    (tmp_path / "bad.pem").write_text("nothing")
    with pytest.raises(UserError, match=r"llm\.ca_bundle: .*PEM"):
        certificates(str(tmp_path / "bad.pem"))
    authorities = ssl.get_default_verify_paths().cafile
    if authorities:
        assert isinstance(certificates(authorities), ssl.SSLContext)
