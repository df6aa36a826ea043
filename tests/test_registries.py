"""The registries: every name that comes with hydra_ray is registered by its module; configurations take plug-ins'."""

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from hydra_ray import registries
from hydra_ray.config import Config, load_config
from hydra_ray.errors import UserError
from hydra_ray.utils.registry import Registry

ALL = {name: value for name, value in vars(registries).items() if isinstance(value, Registry)}
MODULE = """
from hydra_ray.methods.method import one_answer
from hydra_ray.registries import METHODS

METHODS.register("newest_k3")(
    one_answer("newest_k3", "newest, k=3", "the 3 newest", lambda q: q.greedy(q.retrieve("recency", 3)))
)
"""


@pytest.mark.parametrize("registry", ALL.values(), ids=ALL)
def test_every_name_is_registered_by_its_home(registry: Registry[Any]) -> None:
    assert registry.builtin
    for name in registry.builtin:
        assert registry.get(name) is not None


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of the user's, in the working folder; nothing it registers outlives the test."""
    for registry in ALL.values():
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MODULE)
    return tmp_path


def test_a_configuration_names_what_its_modules_add(plugin: Path) -> None:
    (plugin / "run.yaml").write_text("plugins: [mine.py]\nevaluate: {methods: [newest_k3]}\n")
    config = load_config(plugin / "run.yaml")
    assert config.evaluate.methods == ("newest_k3",)
    assert config.plugins == (str(plugin / "mine.py"),)


def test_another_process_loads_them_from_what_it_is_handed(plugin: Path) -> None:
    config = load_config(None, ["plugins=[mine.py]", "evaluate.methods=[newest_k3]"])
    handed, pickled = config.model_dump(mode="json"), pickle.dumps(config)
    for read in (lambda: Config.model_validate(handed), lambda: pickle.loads(pickled)):
        # As if the process had just started.
        del registries.METHODS._entries["newest_k3"]
        for name in [name for name in sys.modules if name.startswith("hydra_ray_plugin_mine")]:
            del sys.modules[name]
        assert read() == config
        assert "newest_k3" in registries.METHODS


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["evaluate.methods=[bm25_k3]"],
            r"^override .*: evaluate\.methods\[0\]: no method 'bm25_k3'; did you mean",
        ),
        (["plugins=[other.py]"], r"plugins: 'other\.py' cannot be imported \(FileNotFoundError: no such file\)"),
        (["plugins=other.py"], r"plugins: must be a list; write \[other\.py\]"),
    ],
)
def test_a_name_that_is_nowhere_is_one_line(plugin: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        load_config(None, overrides)
    assert "\n" not in str(error.value)
