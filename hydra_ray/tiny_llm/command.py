"""`hydra-ray tiny-llm train`: reads the training's YAML and its overrides, then trains."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from hydra_ray.errors import UserError
from hydra_ray.tiny_llm.config import TinyLLMConfig


def load_tiny_config(file: Path | None, overrides: Sequence[str] = ()) -> TinyLLMConfig:
    """The training's settings: defaults, then the YAML file, then `a.b=c` overrides (c is read as YAML).

    Raises UserError: no such file, no YAML mapping, malformed override, unknown key (with the closest match), value
    that does not validate.
    """
    tree = _read(file) if file is not None else {}
    for override in overrides:
        path, equals, value = override.partition("=")
        if not equals or not path:
            raise UserError(f"override {override!r}: must read key=value, e.g. steps=500")
        *parents, leaf = path.split(".")
        node = tree
        for parent in parents:
            child = node.setdefault(parent, {})
            if not isinstance(child, dict):
                raise UserError(f"override {override!r}: {parent} is no section")
            node = child
        try:
            node[leaf] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UserError(f"override {override!r}: {value!r} is no YAML value") from None
    try:
        return TinyLLMConfig.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            close = difflib.get_close_matches(str(first["loc"][-1]), TinyLLMConfig.model_fields, 1)
            message = "no such setting" + (f"; did you mean {close[0]}?" if close else "")
        raise UserError(f"{file or 'overrides'}: {path + ': ' if path else ''}{message}") from None


def _read(file: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(file.read_text())
    except FileNotFoundError:
        raise UserError(f"{file}: no such config file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{file}: cannot be read as YAML: {' '.join(str(error).split())}") from None
    if tree is not None and not isinstance(tree, dict):
        raise UserError(f"{file}: a config is a mapping, this is a {type(tree).__name__}")
    return tree or {}


def train_from_file(file: Path | None, overrides: Sequence[str], out: Path) -> None:
    """Train with the settings of `file` and `overrides` into the folder `out`; goes on where a killed one stopped."""
    from hydra_ray.tiny_llm.train import run

    run(load_tiny_config(file, overrides), out)
