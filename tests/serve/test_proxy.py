"""What Serve's proxies are given."""

import pytest

from hydra_ray import env
from hydra_ray.serve.proxy import layers


def test_serves_proxies_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [layer.kwargs.get("prefixes") for layer in layers()] == [None, ["/llm"]]
    monkeypatch.setenv(env.LOCAL_ROUTES.name, "/llm, /models")
    assert layers()[-1].kwargs["prefixes"] == ["/llm", "/models"]
