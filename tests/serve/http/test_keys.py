from hydra_ray.serve.http.key_file import load_keys
from hydra_ray.serve.http.key_lines import parse_keys
from hydra_ray.serve.http.keys import Keys
from tests.serve.http.key_of import KEY, OTHER, tenant


def test_every_key_is_compared(monkeypatch):
    from hydra_ray.serve.http import keys as module

    keys, compared = parse_keys([f"acme:{KEY}", f"bolt:{OTHER}"], "test"), []
    real = module.hmac.compare_digest
    monkeypatch.setattr(module.hmac, "compare_digest", lambda a, b: compared.append(b) or real(a, b))
    assert tenant(keys, f"Bearer {KEY}") == "acme"
    assert len(compared) == 2


def test_without_keys_everybody_is_one_tenant():
    keys = load_keys(None, "default")
    assert keys == Keys.open("default")
    assert tenant(keys, None) == tenant(keys, "Bearer x") == "default"
