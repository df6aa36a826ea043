"""What the pages say about the code: keys that exist, messages that are printed, metrics that are exported."""

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from hydra_ray.config import Config
from hydra_ray.serve.config import ServeConfig
from hydra_ray.serve.observability.metric_names import METRICS
from tests.docs.pages import PAGES, ROOT, inline_code, name_of

TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"
OBSERVABILITY = ROOT / "docs" / "observability.md"
FREE = {"llm.extra_body", "llm.headers", "llm.query", "llm.parameters"}
"""Keys whose own keys are the user's."""


def _keys(schema: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in schema.model_fields.items():
        yield prefix + name
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _keys(inner, f"{prefix}{name}.")


KEYS = {*_keys(Config), *_keys(ServeConfig)}
SECTIONS = {key.partition(".")[0] for key in KEYS if "." in key}
FILES = "md|json|jsonl|py|sqlite|svg|yaml"
_KEY = re.compile(rf"((?:{'|'.join(sorted(SECTIONS))})(?:\.(?!(?:{FILES})$)[a-z][a-z0-9_-]*)+)(?:[=:].*)?")


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name_of)
def test_every_configuration_key_named_exists(page: Path) -> None:
    named = {found[1] for code in inline_code(page) if (found := _KEY.fullmatch(code))}
    unknown = {key for key in named if key not in KEYS and not any(key.startswith(f"{free}.") for free in FREE)}
    assert unknown == set()


def test_keys_are_found_in_the_pages() -> None:
    assert "gateway.deadline_s" in KEYS
    assert _KEY.fullmatch("protocol.folds=5")
    assert not _KEY.fullmatch("data.md")
    assert not _KEY.fullmatch("llm.sqlite")


@lru_cache
def _texts() -> tuple[str, ...]:
    """Every text in the code, on one line."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in (ROOT / "hydra_ray").rglob("*.py")]
    nodes: list[Any] = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return tuple(" ".join(node.value.split()) for node in nodes if isinstance(node.value, str))


def _messages() -> list[str]:
    """The pieces of messages in the first columns of the tables; `…` stands for what differs."""
    cells = re.findall(r"^\| `([^`]+)`", TROUBLESHOOTING.read_text(encoding="utf-8"), re.MULTILINE)
    return [piece.strip(" :") for cell in cells for piece in cell.split("…") if piece.strip(" :")]


@pytest.mark.parametrize("message", _messages())
def test_every_message_of_troubleshooting_is_one_of_the_code(message: str) -> None:
    assert any(message in text for text in _texts())


def test_every_metric_of_the_service_is_explained() -> None:
    listed = set(re.findall(r"`(hydra_[a-z_]+)`", OBSERVABILITY.read_text(encoding="utf-8")))
    assert listed == {metric.name for metric in METRICS}
