"""Names of registries: hydra_ray's own, those of modules, those of installed packages."""

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from hydra_ray.utils import plugins
from hydra_ray.utils.registry import Registry


@pytest.fixture
def fruit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["Registry[int]"]:
    """A registry whose `apple` is registered by a module that is imported when it is asked for."""
    registry: Registry[int] = Registry("fruit", {"apple": "fruit_home", "pear": "fruit_home"})
    (tmp_path / "fruit_home.py").write_text(
        "import fruit_registry\nfruit_registry.FRUIT.register('apple')(1)\nfruit_registry.FRUIT.register('pear')(2)\n"
    )
    (tmp_path / "fruit_registry.py").write_text("FRUIT = None\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import fruit_registry  # type: ignore[import-not-found]

    fruit_registry.FRUIT = registry
    plugins.load_installed.cache_clear()
    yield registry
    plugins.load_installed.cache_clear()
    for name in ("fruit_home", "fruit_registry", "fruit_plugin"):
        sys.modules.pop(name, None)


def install(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Makes a plug-in known as an installed package would."""
    point = EntryPoint(name, value, plugins.GROUP)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point] if group == plugins.GROUP else [])


def test_what_comes_with_the_package_is_imported_when_it_is_asked_for(fruit: "Registry[int]") -> None:
    assert fruit.check("apple") == "apple"
    assert fruit.version("apple") == 1
    assert "fruit_home" not in sys.modules
    assert (fruit.get("apple"), fruit.get("pear")) == (1, 2)
    assert fruit.builtin == ("apple", "pear")


def test_an_unknown_name_is_refused_with_the_nearest_and_all_there_are(fruit: "Registry[int]") -> None:
    with pytest.raises(UserError, match=r"^no fruit 'aple'; did you mean 'apple'\? there are apple, pear$"):
        fruit.get("aple")
    assert "aple" not in fruit


def test_a_module_adds_and_replaces_its_own_but_no_others(fruit: "Registry[int]") -> None:
    fruit.register("plum", version=3)(5)
    fruit.register("plum", version=4)(6)
    assert (fruit.get("plum"), fruit.version("plum")) == (6, 4)
    assert fruit.names() == ("apple", "pear", "plum")
    with pytest.raises(UserError, match=rf"^fruit 'apple' is registered by {__name__}, and by fruit_home: choose"):
        fruit.register("apple")(7)


@pytest.mark.parametrize("value", ["fruit_plugin", "fruit_plugin:register"])
def test_an_installed_package_adds(
    value: str, fruit: "Registry[int]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = "fruit_registry.FRUIT.register('fig')(9)\n"
    body = add if ":" not in value else f"def register():\n    {add}"
    (tmp_path / "fruit_plugin.py").write_text(f"import fruit_registry\n{body}")
    install(monkeypatch, "figs", value)
    assert fruit.get("fig") == 9


def test_a_package_that_fails_to_load_is_named_where_a_name_is_missing(
    fruit: "Registry[int]", monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, "figs", "no_such_module")
    assert fruit.get("apple") == 1
    reason = r"\(ModuleNotFoundError: No module named 'no_such_module'\): mend or uninstall it$"
    with pytest.raises(UserError, match=rf"plug-in 'figs' of an unknown package cannot be loaded {reason}"):
        fruit.get("fig")
