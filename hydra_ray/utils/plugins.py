"""Other people's code that adds to the registries: installed packages, and modules that a configuration names.

A package adds by an entry point of the group `hydra_ray.plugins`, a module or a function without arguments; it is
loaded in each process when a name is asked for that hydra_ray itself does not have. A module of `plugins` is imported
when the configuration is read, in each process that reads it.
"""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from hydra_ray.errors import UserError

GROUP = "hydra_ray.plugins"


@lru_cache(maxsize=1)
def load_installed() -> tuple[str, ...]:
    """Loads every installed plug-in, once in a process; one line for each that fails."""
    return tuple(line for point in entry_points(group=GROUP) if (line := _load(point)))


def _load(point: EntryPoint) -> str:
    """Loads one plug-in; says what went wrong, "" if nothing did."""
    package = f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown package"
    try:
        found = point.load()
        if not inspect.ismodule(found):
            found()
    except Exception as error:
        return f"plug-in {point.name!r} of {package} cannot be loaded ({_reason(error)}): mend or uninstall it"
    return ""


def load_modules(names: Sequence[str]) -> None:
    """Imports modules, each given by its dotted name or by the path of its `.py` file; each once in a process.

    Raises:
        UserError: One cannot be imported.
    """
    for name in names:
        try:
            if is_file(name):
                _import_file(Path(name).expanduser().resolve())
            else:
                importlib.import_module(name)
        except Exception as error:
            hint = "" if is_file(name) else "; give an installed module, or the path of a .py file"
            raise UserError(f"plugins: {name!r} cannot be imported ({_reason(error)}){hint}") from None


def is_file(name: str) -> bool:
    """Whether a module is given by the path of its file."""
    return name.endswith(".py")


def _import_file(file: Path) -> None:
    name = f"hydra_ray_plugin_{file.stem}_{blake2b(str(file).encode(), digest_size=4).hexdigest()}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not file.exists():
        raise FileNotFoundError("no such file")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
