import pytest

from hydra_ray.config import Config, load_config, load_settings
from hydra_ray.config.reference import entries
from hydra_ray.config.renamed import HOW_MOVED, MOVED_KEYS, RENAMED_KEYS, RENAMED_VALUES
from hydra_ray.errors import UserError
from hydra_ray.serve.config import ServeConfig
from tests.config.old_names import renamed

PATHS = {e.path: schema for schema in (ServeConfig, Config) for e in entries(schema)}


@pytest.mark.parametrize("old", RENAMED_KEYS)
def test_an_old_key_is_refused_with_its_new_name(old: str) -> None:
    new = renamed(old)
    with pytest.raises(UserError) as error:
        load_settings(PATHS[new], None, [f"{old}=1"], {"run": "r"} if PATHS[new] is ServeConfig else {})
    leaf = new.rsplit(".", 1)[-1]
    assert str(error.value) == f"override '{old}=1': {old}: this key is called {leaf!r} now; write {new!r}"


@pytest.mark.parametrize(("place", "old"), RENAMED_VALUES)
def test_an_old_value_is_refused_with_the_new_one(place: str, old: str) -> None:
    key = {"serve.source": "llm.serve.source"}.get(place, place)
    new = RENAMED_VALUES[place, old]
    with pytest.raises(UserError) as error:
        load_config(None, [f"{key}={old}"])
    assert str(error.value) == f"override '{key}={old}': {key}: {old!r} is called {new!r} now; write that"
    assert load_config(None, [f"{key}={new}", "data.root=rows"])


def test_what_follows_an_old_value_stays_and_other_keys_may_have_it() -> None:
    with pytest.raises(UserError, match="'embedded:tagging' is called 'bundled:tagging' now"):
        load_config(None, ["llm.serve.source=embedded:tagging"])
    assert load_config(None, ["llm.serve.source=own"]).llm.serve.source == "own"


@pytest.mark.parametrize("old", MOVED_KEYS)
def test_a_key_that_has_moved_is_refused_with_its_new_place(old: str) -> None:
    key = f"llm.{old}" if old.startswith("serve.") else old
    new, how = MOVED_KEYS[old], f" ({HOW_MOVED[old]})" if old in HOW_MOVED else ""
    assert PATHS[new] is Config
    with pytest.raises(UserError) as error:
        load_config(None, [f"{key}=1"])
    assert str(error.value) == f"override '{key}=1': {key}: this key has moved; set {new}{how}"
