"""Reading the configuration: YAML file, then `a.b=c` overrides; every mistake is one line with the closest match."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from hydra_ray.config import Config
from hydra_ray.errors import UserError
from hydra_ray.yaml_text import parse_yaml, read_yaml

PACKAGED = ("minilm", "embedded")
"""Names of what packages bring along; a folder of that name does not count."""

MAY_BE_SECRET = ("llm.headers", "llm.query")
"""Sections of which messages show no value."""

Settings = TypeVar("Settings", bound=BaseModel)


def load_config(file: Path | None, overrides: Sequence[str] = ()) -> Config:
    """The resolved configuration of a run, named after its file unless it has a name. Raises as `load_settings`.

    Relative paths count from the folder where the command is typed: other processes work elsewhere.
    """
    return with_whole_paths(load_settings(Config, file, overrides, {"name": file.stem} if file else {}))


def with_whole_paths(config: Config) -> Config:
    """The config with `data.root`, and what of `data.task`, `model.encoder`, `llm.tokenizer` and `llm.serve.source` is
    a path here and not a name, as absolute paths."""
    data, llm = config.data, config.llm
    root = data.root if data.root is None or "://" in data.root else str(Path(data.root).expanduser().absolute())
    named = {"task": data.task} if data.task.endswith((".yaml", ".yml")) else {}
    data = data.model_copy(update={"root": root, **{name: _whole(path) for name, path in named.items()}})
    serve = llm.serve.model_copy(update={"source": _whole(llm.serve.source)})
    llm = llm.model_copy(update={"serve": serve, "tokenizer": _whole(llm.tokenizer) if llm.tokenizer else None})
    model = config.model.model_copy(update={"encoder": _whole(config.model.encoder)})
    return config.model_copy(update={"data": data, "llm": llm, "model": model})


def _whole(path: str) -> str:
    """A path as it counts from anywhere, if there is such a file or folder here; else the text as it is (a hub id)."""
    here = Path(path).expanduser()
    return str(here.absolute()) if path.partition(":")[0] not in PACKAGED and here.exists() else path


def load_settings(
    schema: type[Settings], file: Path | None, overrides: Sequence[str] = (), fallback: Mapping[str, Any] | None = None
) -> Settings:
    """Settings of a schema: its defaults, then `fallback`, the YAML file, the `a.b=c` overrides (c is read as YAML).

    Raises UserError: no such file, no YAML mapping, unknown key (with the closest match), value that does not validate.
    """
    tree = {**(fallback or {}), **(_read(file) if file else {})}
    origin = {path: str(file) for path in _leaves(tree)}
    for override in overrides:
        path, value = _parse(override)
        _set(tree, path, value, override)
        origin[path] = f"override {path if path.startswith(MAY_BE_SECRET) else override!r}"
    for path in _leaves(tree):
        _check_key(schema, path, origin.get(path, str(file)))
    try:
        return schema.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        touching = (
            o for p, o in origin.items() if path and f"{p}.".startswith(f"{path}.") | f"{path}.".startswith(f"{p}.")
        )
        where = next(touching, str(file or "config"))
        given = f" (got {first['input']!r})" if path and not isinstance(first["input"], dict) else ""
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{where}: {path + ': ' if path else ''}{message}{given}") from None


def dump_config(config: Config) -> str:
    """The whole configuration as YAML, in the schema's order."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _read(file: Path) -> dict[str, Any]:
    if not file.exists():
        raise UserError(f"{file}: no such config file")
    tree = read_yaml(file)
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UserError(f"{file}: a config is a mapping of sections, this is a {type(tree).__name__}")
    return tree


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    paths: list[str] = []
    for key, value in tree.items():
        path = f"{prefix}{key}"
        paths += _leaves(value, path + ".") if isinstance(value, dict) and value else [path]
    return paths


def _parse(override: str) -> tuple[str, Any]:
    path, sign, text = override.partition("=")
    if not sign or not path:
        raise UserError(f"override {override!r}: write it as section.key=value")
    try:
        yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError:
        return path, text
    return path, parse_yaml(text, f"override {override!r}") if text else None


def _set(tree: dict[str, Any], path: str, value: Any, override: str) -> None:
    *sections, leaf = path.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise UserError(f"override {override!r}: {section!r} is a value, not a section")
    tree[leaf] = value


def _check_key(schema: type[BaseModel], path: str, where: str) -> None:
    model: type[BaseModel] | None = schema
    for depth, part in enumerate(path.split(".")):
        if model is None:
            return
        fields = model.model_fields
        if part not in fields:
            full = ".".join([*path.split(".")[:depth], part])
            raise UserError(f"{where}: unknown key {full!r}{_closest(schema, full, part)}")
        model = _section(fields[part].annotation)


def _closest(schema: type[BaseModel], full: str, part: str) -> str:
    every = _all_keys(schema)
    close = difflib.get_close_matches(full, every, n=1, cutoff=0.6)
    close = close or [key for key in every if key.rsplit(".", 1)[-1] == part][:1]
    if close:
        return f"; did you mean {close[0]!r}?"
    return "; `--print-config` lists every key" if schema is Config else f"; there are {', '.join(every)}"


def _all_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        section = _section(field.annotation)
        if section is not None:
            keys += _all_keys(section, f"{prefix}{name}.")
    return keys


def _section(annotation: Any) -> type[BaseModel] | None:
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None
