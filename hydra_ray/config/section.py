"""What every section of a configuration is built on, and the marks that its fields may carry."""

import re
from dataclasses import dataclass
from typing import Any

from pydantic import AfterValidator, BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from hydra_ray.errors import UserError
from hydra_ray.utils.registry import Registry

HEADER_NAME = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"

EXECUTION_ONLY: dict[str, Any] = {"execution_only": True}
"""`json_schema_extra` of a field that decides how work is done and not what comes out: it is part of no step's address,
so that a run that was cut short can go on with another value."""

_SECRET_NAME = re.compile(
    r"authorization|cookie|secret|token(?!s)|passw|signature|credential|(^|[-_])(key|sig|code|pwd)$|api-?_?key", re.I
)


class Section(BaseModel):
    """Base of every section: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


@dataclass(frozen=True)
class NameOf:
    """Annotation of a text that must be a name of a registry, a plug-in's included."""

    registry: Registry[Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, name: str) -> str:
        try:
            return self.registry.check(name)
        except UserError as error:
            raise ValueError(str(error)) from None


def _check_each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = next((value for i, value in enumerate(values) if value in values[:i]), None)
    if twice is not None:
        raise ValueError(f"lists {twice} twice; give each value once")
    return values


EACH_ONCE = AfterValidator(_check_each_once)
"""Annotation of a list that must not hold a value twice."""


def execution_only(section: type[BaseModel]) -> set[str]:
    """The fields of a section that carry the mark `EXECUTION_ONLY`."""
    return {name for name, field in section.model_fields.items() if is_execution_only(field)}


def is_execution_only(field: FieldInfo) -> bool:
    """Whether a field carries the mark `EXECUTION_ONLY`."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("execution_only"))


def is_secret(name: str) -> bool:
    """Whether a header or query item of this name usually holds a secret."""
    return _SECRET_NAME.search(name) is not None
