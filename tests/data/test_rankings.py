"""Ranking files."""

from pathlib import Path

import pytest

from hydra_ray.data.rankings import load_ranking, parse_ranking
from hydra_ray.errors import UserError


@pytest.mark.parametrize(
    ("text", "expected"),
    [("{", "is not JSON"), ("[]", "is no ranking"), ('{"1": "a"}', "question 1"), ('{"1": [null]}', "question 1")],
)
def test_broken_rankings_are_one_line(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(UserError, match=expected):
        load_ranking(str(tmp_path / "r.json"))


def test_ids_are_read_as_text() -> None:
    assert parse_ranking(b'{"1": [3, "b"]}', "f") == {"1": ("3", "b")}
