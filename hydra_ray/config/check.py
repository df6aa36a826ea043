"""Strict check of a tree (from YAML) against pydantic models, whether they refuse what they do not know or ignore it.

Configs of runs and services and Ray's own schema of Serve files all go through here.
"""

import copy
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError

from hydra_ray.config.renamed import new_key, new_place, new_value
from hydra_ray.config.section import Section
from hydra_ray.utils.registry import nearest

KeyPath = tuple[str | int, ...]
"""Keys and list positions from the root of the tree."""

UNSHOWN = ("env_vars", "password", "key", "headers", "query", "database")
"""Values under keys that contain one of these are not repeated in messages."""


LISTS = ("list_type", "tuple_type", "set_type", "frozen_set_type")
"""Pydantic's errors for a value that is no list."""


class MistakeError(Exception):
    """Something is wrong at `path`: the message says what, and what to do."""

    def __init__(self, path: KeyPath, what: str) -> None:
        super().__init__(what)
        self.path = path

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {super().__str__()}" if self.path else super().__str__()


class DescribedField(NamedTuple):
    """A mapping of the tree and the model that describes it."""

    path: KeyPath
    model: type[BaseModel]
    value: Mapping[str, Any]


def check_tree(model: type[BaseModel], tree: Mapping[str, Any], path: KeyPath = ()) -> None:
    """Raises MistakeError: a key that no model knows (with its new name, or the nearest known one), or a wrong value.

    Models are found in fields of any shape (`Optional`, `Union` with a dict, lists), and each validates its own part:
    a union with a dict would let anything pass.
    """
    parts = list(described(model, tree, path))
    for part in parts:
        if issubclass(part.model, Section):
            _check_renamed(part, model)
        check_keys(part.path, part.value, part.model.model_fields, model, path)
    for part in reversed(parts):  # the innermost says most exactly where
        _validate(part)


def _check_renamed(part: DescribedField, root: type[BaseModel]) -> None:
    for key, value in part.value.items():
        path = (*part.path, str(key))
        if new := new_key(part.model, str(key)):
            raise MistakeError(path, f"this key is called {new!r} now; write {dotted((*part.path, new))!r}")
        if place := new_place(part.model, path, root):
            raise MistakeError(path, f"this key has moved; set {place}")
        if value_now := new_value(path, value):
            raise MistakeError(path, f"{value!r} is called {value_now!r} now; write that")


def described(model: type[BaseModel], tree: Any, path: KeyPath = ()) -> Iterator[DescribedField]:
    """Every mapping that a model describes, outer ones first. Raises MistakeError where one should be and is not."""
    if not isinstance(tree, Mapping):
        raise MistakeError(path, f"must be a mapping of settings, this is {_kind(tree)}")
    yield DescribedField(path, model, tree)
    for key, value in tree.items():
        field = model.model_fields.get(key) if isinstance(key, str) else None
        inner, many = _model(field.annotation) if field else (None, False)
        if inner is None or value is None:
            continue
        if not many:
            yield from described(inner, value, (*path, key))
            continue
        if not isinstance(value, list):
            raise MistakeError((*path, key), f"must be a list, this is {_kind(value)}")
        for i, item in enumerate(value):
            yield from described(inner, item, (*path, key, i))


def check_keys(
    path: KeyPath,
    value: Mapping[str, Any],
    known: Sequence[str] | Mapping[str, Any],
    root: type[BaseModel],
    base: KeyPath,
) -> None:
    """Raises MistakeError on the first key that is not among `known`.

    root: model of the whole tree, which stands at `base`: where else a misplaced key may belong.
    """
    for key in value:
        if key in known:
            continue
        names = list(known)
        elsewhere = next((place for place in _places(root) if place.rsplit(".", 1)[-1] == key), None)
        if elsewhere and not nearest(str(key), names):
            raise MistakeError((*path, str(key)), f"does not belong here; it is {dotted((*base, elsewhere))!r}")
        raise MistakeError((*path, str(key)), f"unknown key; {advice(str(key), names)}")


def advice(word: str, known: Sequence[str]) -> str:
    """What may be meant by a word that is not known: the nearest, or all that there are."""
    close = nearest(word, known)
    return f"did you mean {close!r}?" if close else f"there are {', '.join(known)}"


def dotted(path: KeyPath) -> str:
    """`("applications", 0, "args")` as `applications[0].args`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _validate(part: DescribedField) -> None:
    try:
        part.model.model_validate(copy.deepcopy(part.value))  # Ray's validators change what they are given
    except ValidationError as error:
        first = error.errors()[0]
        path, value = _place(part, first["loc"])
        shown = not any(word in str(name) for name in path for word in UNSHOWN) and isinstance(value, str | int | float)
        given = f" (got {value!r})" if shown else ""
        if first["type"] in LISTS:
            raise MistakeError(path, f"must be a list{f'; write [{value}]' if given else ''}") from None
        raise MistakeError(path, first["msg"].removeprefix("Value error, ").rstrip(".") + given) from None
    except Exception as error:  # Ray's own validators raise what they like: ImportError, AttributeError
        raise MistakeError(part.path, f"Ray refuses it: {type(error).__name__}: {error}") from None


def _place(part: DescribedField, loc: Sequence[str | int]) -> tuple[KeyPath, Any]:
    """Where in the tree pydantic points at, without the names of union members; and what stands there."""
    path, value = part.path, part.value
    for key in loc:
        if isinstance(value, Mapping) and key in value:
            value = value[str(key)]
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        elif isinstance(value, Mapping) and key in part.model.model_fields and path == part.path:
            return (*path, key), None  # required and missing
        else:
            break
        path = (*path, key)
    return path, value


def _places(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted names of every field, lists marked with `[]`."""
    for name, field in model.model_fields.items():
        yield prefix + name
        inner, many = _model(field.annotation)
        if inner is not None:
            yield from _places(inner, f"{prefix}{name}{'[]' if many else ''}.")


def _model(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model in an annotation, if there is one, and whether it stands in a list."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return (annotation, False) if issubclass(annotation, BaseModel) else (None, False)
    for kind in get_args(annotation):
        inner, many = _model(kind)
        if inner is not None:
            return inner, many or get_origin(annotation) is list
    return None, False


def _kind(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "a text", bool: "true or false", type(None): "empty"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else f"a {type(value).__name__}")
