"""The page on configuration is what the schemas say."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from hydra_ray.config.reference import entries
from hydra_ray.config_schemas import page, schemas
from hydra_ray.tiny_llm.config import StageConfig

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("schema", [*schemas().values(), StageConfig])
def test_every_key_has_a_description(schema: type[BaseModel]) -> None:
    assert [e.path for e in entries(schema) if not re.fullmatch(r"[A-Z`].+\.", e.field.description or "")] == []


def test_the_page_is_what_the_schema_says() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == page(), "run `make docs`"
    assert "| `batch_size` | integer, at least 1 | `256` | Rows per step, all workers together. |" in page()
