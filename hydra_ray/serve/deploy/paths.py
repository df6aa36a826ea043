"""Relative paths of a Serve config file: replicas start in a folder of Ray's, not where the file was deployed from."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hydra_ray.errors import UserError
from hydra_ray.serve.deploy.applications import APPLICATIONS
from hydra_ray.utils.network import is_loopback

_NAMES_TOO = (("run",), ("serve", "source"))
"""Keys that hold a path or a name: of a run under `root`, of weights on the hub."""


def resolved(config: Mapping[str, Any], address: str, here: Path) -> dict[str, Any]:
    """The checked file with its paths absolute, from the folder `here` on.

    Raises UserError for a relative one where the cluster at `address` is another machine, which knows no such folder.
    """
    made = copy.deepcopy(dict(config))
    remote = not is_loopback(urlsplit(address).hostname or "")
    for i, application in enumerate(made["applications"]):
        known = APPLICATIONS[application["import_path"]]
        args = application.setdefault("args", {})
        if ("root",) in known.paths and not Path(args.get("run", "")).expanduser().is_absolute():
            args.setdefault("root", known.arguments.model_fields["root"].default)
        for keys in known.paths:
            place = args
            for name in keys[:-1]:
                place = place.get(name, {})
            path = place.get(keys[-1])
            if path is None or (keys in _NAMES_TOO and not _is_path(path, here)):
                continue
            expanded = Path(path).expanduser()
            if remote and not expanded.is_absolute():
                raise UserError(
                    f"applications[{i}].args.{'.'.join(keys)}: {path!r} is relative, and the cluster at {address} does "
                    "not know this machine's folders; write the absolute path that every node sees"
                )
            place[keys[-1]] = str((here / expanded).absolute())
    return made


def places(config: Mapping[str, Any]) -> Iterator[str]:
    """A line per application: which run it serves from where, or which weights."""
    for application in config["applications"]:
        known = APPLICATIONS[application["import_path"]]
        args = known.arguments.model_validate(application["args"])
        yield f"{application.get('name', 'default')}: {known.about(args)}"


def _is_path(value: str, here: Path) -> bool:
    return value.startswith((".", "~", "/")) or (here / value).is_dir()
