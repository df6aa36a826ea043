import pytest
from pydantic import BaseModel

from hydra_ray.config import Config, LLMApplicationConfig, LLMConfig, load_config, load_settings
from hydra_ray.config.check import MistakeError, check_tree
from hydra_ray.config.reference import entries
from hydra_ray.config.renamed import HOW_MOVED, MOVED_KEYS, RENAMED_KEYS, RENAMED_VALUES
from hydra_ray.errors import UserError
from hydra_ray.serve.config import ServeConfig

PATHS = {e.path: schema for schema in (ServeConfig, Config) for e in entries(schema)}
ARGS = ("applications", 0, "args")


def renamed(path: str) -> str:
    """The dotted new name of an old key."""
    section, dot, _ = path.rpartition(".")
    return f"{section}{dot}{RENAMED_KEYS[path]}"


@pytest.mark.parametrize("old", RENAMED_KEYS)
def test_an_old_key_is_refused_with_its_new_name(old: str) -> None:
    new = renamed(old)
    with pytest.raises(UserError) as error:
        load_settings(PATHS[new], None, [f"{old}=1"], {"run": "r"} if PATHS[new] is ServeConfig else {})
    leaf = new.rsplit(".", 1)[-1]
    assert str(error.value) == f"override '{old}=1': {old}: this key is called {leaf!r} now; write {new!r}"


@pytest.mark.parametrize("old", RENAMED_KEYS)
def test_an_old_key_is_refused_in_a_serve_file_too(old: str) -> None:
    new = renamed(old)
    schema: type[BaseModel] = PATHS[new]
    path, tree = old.split("."), {"run": "r"} if schema is ServeConfig else {}
    if path[0] == "llm":
        schema, path = LLMConfig, path[1:]
    elif schema is Config:
        return  # the rest of a run's config stands in no Serve file
    inner: dict[str, object] = dict.fromkeys([path[-1]], 1)
    for section in reversed(path[:-1]):
        inner = {section: inner}
    with pytest.raises(MistakeError) as error:
        check_tree(schema, {**tree, **inner}, ARGS)
    where = f"applications[0].args.{'.'.join(path)}"
    assert str(error.value).startswith(f"{where}: this key is called {RENAMED_KEYS[old]!r} now; write ")


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


def test_a_served_models_own_file_has_its_resources_in_it() -> None:
    with pytest.raises(MistakeError) as error:
        check_tree(LLMApplicationConfig, {"serve": {"tensor_parallel_size": 2}}, ARGS)
    assert str(error.value) == (
        "applications[0].args.serve.tensor_parallel_size: this key has moved; set resources.num_gpus (the GPUs that "
        "one replica is spread over)"
    )
    args = LLMApplicationConfig.model_validate({"resources": {"num_workers": [1, 4], "num_gpus": 2}})
    assert (args.resources.bounds, args.resources.num_gpus) == ((1, 4), 2)
