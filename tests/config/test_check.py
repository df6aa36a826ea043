"""One checker for files of runs and of Serve."""

import pytest
from pydantic import BaseModel

from hydra_ray.config import Config, LLMApplicationConfig, LLMConfig
from hydra_ray.config.check import MistakeError, check_tree
from hydra_ray.config.reference import entries
from hydra_ray.config.renamed import RENAMED_KEYS
from hydra_ray.serve.config import ServeConfig
from tests.config.old_names import renamed

PATHS = {e.path: schema for schema in (ServeConfig, Config) for e in entries(schema)}
ARGS = ("applications", 0, "args")


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


def test_a_served_models_own_file_has_its_resources_in_it() -> None:
    with pytest.raises(MistakeError) as error:
        check_tree(LLMApplicationConfig, {"serve": {"tensor_parallel_size": 2}}, ARGS)
    assert str(error.value) == (
        "applications[0].args.serve.tensor_parallel_size: this key has moved; set resources.num_gpus (the GPUs that "
        "one replica is spread over)"
    )
    args = LLMApplicationConfig.model_validate({"resources": {"num_workers": [1, 4], "num_gpus": 2}})
    assert (args.resources.bounds, args.resources.num_gpus) == ((1, 4), 2)
