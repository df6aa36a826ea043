"""Reading the configuration (YAML file, then `a.b=c` overrides; every mistake is one line), and printing it."""

import textwrap
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel

from hydra_ray.config.check import KeyPath, MistakeError, check_tree, dotted
from hydra_ray.config.reference import comment
from hydra_ray.config.run import Config
from hydra_ray.errors import UserError
from hydra_ray.utils.plugins import is_file, load_modules
from hydra_ray.utils.yaml_io import parse_yaml, read_yaml

MAY_BE_SECRET = ("llm.headers", "llm.query")
"""Sections of which messages show no value."""
PACKAGED = ("minilm", "bundled")
"""Names of what packages bring along; a folder of that name does not count."""

Settings = TypeVar("Settings", bound=BaseModel)


class ValueOverride(NamedTuple):
    """A setting and its value, which stays as it is: nothing of it is read as YAML. path: keys from the root on."""

    path: tuple[str, ...]
    value: Any

    def __str__(self) -> str:
        return f"{'.'.join(self.path)}={self.value}"


def load_config(file: Path | None, overrides: Sequence[str | ValueOverride] = ()) -> Config:
    """The resolved configuration of a run, named after its file unless it has a name. Raises as `load_settings`.

    Relative paths count from the folder where the command is typed: other processes work elsewhere.
    """
    return with_whole_paths(load_settings(Config, file, overrides, {"name": file.stem} if file else {}))


def load_settings(
    schema: type[Settings],
    file: Path | None,
    overrides: Sequence[str | ValueOverride] = (),
    fallback: Mapping[str, Any] | None = None,
) -> Settings:
    """Settings of a schema: its defaults, then `fallback`, the YAML file, the overrides (c of `a.b=c` is read as YAML).

    Raises UserError: no such file, no YAML mapping, unknown key (with the closest match), value that does not validate.
    """
    tree = {**(fallback or {}), **(_read(file) if file else {})}
    origin = {path: str(file) for path in _leaves(tree)}
    for override in overrides:
        keys, value = _parse(override) if isinstance(override, str) else override
        _set(tree, keys, value, override)
        path = ".".join(keys)
        origin[path] = f"override {path if path.startswith(MAY_BE_SECRET) else str(override)!r}"
    try:
        _load_plugins(schema, tree)
        check_tree(schema, tree)
    except MistakeError as mistake:
        raise UserError(f"{_origin(mistake.path, origin) or file or 'config'}: {mistake}") from None
    return schema.model_validate(tree)


def _load_plugins(schema: type[BaseModel], tree: Mapping[str, Any]) -> None:
    """The names that they add count when the sections are checked. Raises MistakeError."""
    names = tree.get("plugins")
    if "plugins" not in schema.model_fields or not isinstance(names, list | tuple):
        return
    try:
        load_modules([name for name in names if isinstance(name, str)])
    except UserError as error:
        raise MistakeError(("plugins",), str(error).removeprefix("plugins: ")) from None


def _origin(mistake: KeyPath, origin: Mapping[str, str]) -> str | None:
    """What gave the value at, within or around the place of a mistake."""
    where = dotted(tuple(takewhile(lambda part: isinstance(part, str), mistake)))
    touching = (o for p, o in origin.items() if f"{p}.".startswith(f"{where}.") or f"{where}.".startswith(f"{p}."))
    return next(touching, None) if where else None


def dump_config(settings: BaseModel, indent: int = 0) -> str:
    """Whole settings as YAML in the schema's order, each key after its description as a comment."""
    parts: list[str] = []
    plain = settings.model_dump(mode="json")
    for name, field in type(settings).model_fields.items():
        parts.append(comment(field.description or "", indent))
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            parts.append(f"{' ' * indent}{name}:\n{dump_config(value, indent + 2)}")
        else:
            text = yaml.safe_dump({name: plain[name]}, sort_keys=False, width=10_000)
            parts.append(textwrap.indent(text, " " * indent))
    return "".join(parts)


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


def _parse(override: str) -> ValueOverride:
    path, sign, text = override.partition("=")
    if not sign or not path:
        file = f"; a configuration is given by --config {override}" if override.endswith((".yaml", ".yml")) else ""
        raise UserError(f"override {override!r}: write it as section.key=value{file}")
    keys = tuple(path.split("."))
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError:
        return ValueOverride(keys, text)
    if not isinstance(root, yaml.CollectionNode) and _has_comment(text):
        return ValueOverride(keys, text)
    return ValueOverride(keys, parse_yaml(text, f"override {override!r}") if text else None)


def _has_comment(text: str) -> bool:
    """Whether YAML skips a part of a text that begins with `#`: nobody comments on a command line."""
    read = [(token.start_mark.index, token.end_mark.index) for token in yaml.scan(text, yaml.SafeLoader)]
    return any(not any(start <= at < end for start, end in read) for at, char in enumerate(text) if char == "#")


def _set(tree: dict[str, Any], path: Sequence[str], value: Any, override: str | ValueOverride) -> None:
    *sections, leaf = path
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise UserError(f"override {str(override)!r}: {section!r} is a value, not a section")
    tree[leaf] = value


def with_whole_paths(config: Config) -> Config:
    """The config with absolute paths: `data.root`, `retrieval.ranking`, the files of `plugins`, and what of
    `data.task`, `model.encoder`, `llm.tokenizer` and `llm.serve.source` is a path here and not a name."""
    data, llm = config.data, config.llm
    root = data.root if data.root is None or "://" in data.root else str(Path(data.root).expanduser().absolute())
    named = {"task": data.task} if data.task.endswith((".yaml", ".yml")) else {}
    data = data.model_copy(update={"root": root, **{name: _whole(path) for name, path in named.items()}})
    serve = llm.serve.model_copy(update={"source": _whole(llm.serve.source)})
    llm = llm.model_copy(update={"serve": serve, "tokenizer": _whole(llm.tokenizer) if llm.tokenizer else None})
    model = config.model.model_copy(update={"encoder": _whole(config.model.encoder)})
    plugins = tuple(str(Path(name).expanduser().absolute()) if is_file(name) else name for name in config.plugins)
    ranking = config.retrieval.ranking
    whole = str(Path(ranking).expanduser().absolute()) if ranking else None
    retrieval = config.retrieval.model_copy(update={"ranking": whole})
    parts = {"plugins": plugins, "data": data, "llm": llm, "model": model, "retrieval": retrieval}
    return config.model_copy(update=parts)


def _whole(path: str) -> str:
    """A path as it counts from anywhere, if there is such a file or folder here; else the text as it is (a hub id)."""
    here = Path(path).expanduser()
    return str(here.absolute()) if path.partition(":")[0] not in PACKAGED and here.exists() else path
