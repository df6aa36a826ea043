"""What the schema says of each key, in words: for the reference page and `hydra-ray config explain`. Pure."""

import inspect
import textwrap
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hydra_ray.config.renamed import new_key, new_place
from hydra_ray.config.section import NameOf, is_execution_only
from hydra_ray.errors import UserError
from hydra_ray.utils.registry import nearest

WIDTH = 100
_NAMES: dict[Any, str] = {
    str: "text", int: "integer", float: "number", bool: "true or false", type(None): "null", Any: "anything",
}  # fmt: skip
_LIMITS = {
    "ge": "at least {}",
    "gt": "above {}",
    "le": "at most {}",
    "lt": "below {}",
    "min_length": "length at least {}",
}


class Entry(NamedTuple):
    """A key of a schema. section: its model, if it is a section itself."""

    path: str
    field: FieldInfo
    section: type[BaseModel] | None

    @property
    def about(self) -> str:
        """The description, and what the field's mark says."""
        marked = is_execution_only(self.field)
        return f"{self.field.description or ''}{' Changing it repeats no finished step.' if marked else ''}"

    @property
    def type(self) -> str:
        """Type and constraints, such as `integer, at least 1`."""
        limits = [limit for part in self.field.metadata for limit in _limits(part)]
        named = [part for part in self.field.metadata if isinstance(part, NameOf)]
        return ", ".join([_names(named[0]) if named else type_text(self.field.annotation), *limits])

    @property
    def default(self) -> str:
        """The default as YAML writes it; `required` if there is none."""
        if self.field.is_required():
            return "required"
        value = self.field.get_default(call_default_factory=True)
        if isinstance(value, tuple) and any(isinstance(part, BaseModel) for part in value):
            return f"{len(value)} entries"
        plain = list(value) if isinstance(value, tuple) else value
        return (
            yaml.safe_dump(plain, default_flow_style=True, width=10_000, sort_keys=False).removesuffix("...\n").strip()
        )


def entries(schema: type[BaseModel], prefix: str = "") -> Iterator[Entry]:
    """Every key of a schema with its dotted path, sections before what is in them."""
    for name, field in schema.model_fields.items():
        section = _section(field.annotation)
        yield Entry(prefix + name, field, section)
        if section is not None:
            yield from entries(section, f"{prefix}{name}.")


def type_text(annotation: Any) -> str:
    """An annotation in words that YAML's writers know: `integer or null`, `one of a, b`, `list of integer`."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in _NAMES:
        return _NAMES[annotation]
    if origin is Annotated and isinstance(inner[1], NameOf):
        return _names(inner[1])
    if origin is Annotated:
        limits = [limit for part in inner[1:] for limit in _limits(part)]
        return ", ".join([type_text(inner[0]), *limits])
    if origin is Literal and len(inner) == 1:
        return str(inner[0])
    if origin is Literal:
        return f"one of {', '.join(str(value) for value in inner)}"
    if origin in (Union, types.UnionType):
        return " or ".join(type_text(part) for part in inner)
    if origin is tuple:
        if len(inner) == 2 and inner[1] is Ellipsis:
            return f"list of {type_text(inner[0])}"
        return f"[{', '.join(type_text(part) for part in inner)}]"
    if origin is dict:
        return f"mapping of {type_text(inner[0])} to {type_text(inner[1])}"
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return "section"
    return str(getattr(annotation, "__name__", annotation))


def _names(part: NameOf) -> str:
    """A registry's names that come with hydra_ray; what else is installed here is no part of the documentation."""
    return f"one of {', '.join(part.registry.builtin)}, or a plug-in's"


def explain(key: str, schemas: Mapping[str, type[BaseModel]]) -> str:
    """What is known of a key or section, in each of the schemas (name -> model) that has it.

    Raises UserError: no schema has it; with its new name, or the closest match.
    """
    found = {name: next((e for e in entries(schema) if e.path == key), None) for name, schema in schemas.items()}
    texts = [f"{key}  ({name})\n{_explained(entry)}" for name, entry in found.items() if entry is not None]
    if texts:
        return "\n\n".join(texts)
    parent, _, leaf = key.rpartition(".")
    for schema in schemas.values():
        section = next((e.section for e in entries(schema) if e.path == parent), None) if parent else schema
        if section is not None and (new := new_key(section, leaf)):
            raise UserError(f"{key}: this key is called {new!r} now: {f'{parent}.{new}' if parent else new}")
        if section is not None and (place := new_place(section, key.split("."), schema)):
            raise UserError(f"{key}: this key has moved; set {place}")
    known = [entry.path for schema in schemas.values() for entry in entries(schema)]
    close = nearest(key, known) or next((path for path in known if path.rsplit(".", 1)[-1] == leaf), None)
    raise UserError(f"{key}: no such key; " + (f"did you mean {close}?" if close else "see `hydra-ray config keys`"))


def reference(title: str, about: str, chapters: Mapping[str, type[BaseModel]]) -> str:
    """A Markdown page: one chapter for each schema (heading -> model), one table for each of its sections."""
    parts = [f"# {title}\n\n{about}\n"]
    for heading, schema in chapters.items():
        parts.append(f"## `{heading}`\n\n{_doc(schema)}\n\n{_table(schema)}")
        for entry in entries(schema):
            if entry.section is not None:
                parts.append(f"### `{entry.path}`\n\n{_doc(entry.section)}\n\n{_table(entry.section)}")
    return "\n".join(parts)


def comment(text: str, indent: int = 0) -> str:
    """A text as YAML comment lines of `WIDTH` characters at most, each with its line end."""
    lines = textwrap.wrap(text, WIDTH - indent - 2, break_on_hyphens=False)
    return "".join(f"{' ' * indent}# {line}\n" for line in lines)


def _explained(entry: Entry) -> str:
    about = [textwrap.fill(entry.about, WIDTH, initial_indent="  ", subsequent_indent="  ")]
    if entry.section is None:
        return "\n".join([*about, f"  type: {entry.type}", f"  default: {entry.default}"])
    width = max(len(name) for name in entry.section.model_fields)
    return "\n".join([textwrap.indent(_doc(entry.section), "  "), ""] + [
        f"  {name:{width}}  {textwrap.shorten(field.description or '', WIDTH - width - 4, placeholder=' …')}"
        for name, field in entry.section.model_fields.items()
    ])  # fmt: skip


def _table(section: type[BaseModel]) -> str:
    """The keys of a section that are no sections themselves."""
    rows = ["| Key | Type | Default | Meaning |", "|---|---|---|---|"]
    for entry in entries(section):
        if entry.section is None and "." not in entry.path:
            about = entry.about.replace("|", "\\|")
            rows.append(f"| `{entry.path}` | {entry.type.replace('|', chr(92) + '|')} | `{entry.default}` | {about} |")
    return "\n".join(rows) + "\n" if len(rows) > 2 else ""


def _doc(section: type[BaseModel]) -> str:
    return inspect.getdoc(section) or ""


def _limits(part: Any) -> list[str]:
    """The constraints that one piece of a field's metadata holds."""
    if isinstance(part, FieldInfo):
        return [limit for inner in part.metadata for limit in _limits(inner)]
    found = [
        text.format(getattr(part, name)) for name, text in _LIMITS.items() if getattr(part, name, None) is not None
    ]
    pattern = getattr(part, "pattern", None)
    return [*found, f"matches `{pattern}`"] if pattern and "`" not in pattern else found


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section that a key is, or may be besides null; None for values, and for lists of sections."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next((found for part in get_args(annotation) if (found := _section(part))), None)
    return annotation if inspect.isclass(annotation) and issubclass(annotation, BaseModel) else None
