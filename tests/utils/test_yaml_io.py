"""YAML, without its surprises."""

from pathlib import Path

import pytest

from hydra_ray.config import load_config
from hydra_ray.core.tasks import load_task
from hydra_ray.errors import UserError


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("llm: {model: a}\ndata: {}\nllm: {model: b}\n", "key 'llm' stands twice (lines 1 and 3)"),
        ("llm:\n  model: a\n  model: b\n", "key 'model' stands twice (lines 2 and 3)"),
        ("llm: {model: a, model: b}\n", "key 'model' stands twice (lines 1 and 1)"),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_both_lines(tmp_path: Path, text: str, lines: str) -> None:
    file = tmp_path / "twice.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        load_config(file)
    assert str(error.value).startswith(f"{file}: {lines}")
    with pytest.raises(UserError) as error:
        load_task(str(file))
    assert str(error.value).startswith(f"{file}: {lines}")


def test_merged_keys_may_be_overridden_and_values_that_are_no_dates_are_one_line(tmp_path: Path) -> None:
    file = tmp_path / "merged.yaml"
    file.write_text("llm: &llm {model: a}\n")
    assert load_config(file, ["llm={<<: {model: a}, model: b}"]).llm.model == "b"
    with pytest.raises(UserError, match=r"override 'llm=\{model: a, model: b\}': key 'model' stands twice"):
        load_config(None, ["llm={model: a, model: b}"])
    file.write_text("name: 2024-99-99\n")
    with pytest.raises(UserError, match=r"merged\.yaml: cannot be read as YAML: month must be in 1\.\.12"):
        load_config(file)
    file.write_bytes("name: \xe9\n".encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8 text"):
        load_config(file)


def test_versions_that_yaml_reads_as_dates_and_numbers_are_texts() -> None:
    query = load_config(None, ["llm.query.api-version=2024-10-21", "llm.query.v=1"]).llm.query
    assert query == {"api-version": "2024-10-21", "v": "1"}
