"""YAML that people write: safe, in UTF-8, and no key twice in one mapping."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from hydra_ray.errors import UserError


def parse_yaml(text: str, origin: str) -> Any:
    """The value of a YAML text. Raises UserError, which begins with `origin`: broken, or a key that stands twice."""
    try:
        return yaml.load(text, _Loader)  # a SafeLoader
    except _TwiceError as error:
        raise UserError(f"{origin}: {error}") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{origin}: cannot be read as YAML: {' '.join(str(error).split())}; correct it") from None


def read_yaml(file: Path) -> Any:
    """The value in a YAML file. Raises UserError as `parse_yaml` does, or if the file cannot be read."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: cannot be read as YAML: it is not UTF-8 text; save it as UTF-8") from None
    return parse_yaml(text, str(file))


class _TwiceError(Exception):
    """Of two equal keys PyYAML silently takes the last."""


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                name, line = (key.tag, key.value), key.start_mark.line + 1
                if name in lines:
                    raise _TwiceError(
                        f"key {key.value!r} stands twice (lines {lines[name]} and {line}), and only one of them would "
                        "count: put all of it under one"
                    )
                lines[name] = line
        return super().construct_mapping(node, deep)
