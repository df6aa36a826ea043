"""Ranking files."""

from pathlib import Path

import pytest

from hydra_ray.data.rankings import load_ranking, parse_ranking
from hydra_ray.errors import UserError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "is not JSON"),
        ("3", "the file must be a JSON list"),
        ("[]", "ranks nothing"),
        ('{"1": "a"}', "question 1"),
        ('{"1": [null]}', "question 1"),
        ('[{"id": "1"}]', r"record 0 \(counted from 0\) has no id or no profile"),
        ('[{"id": "1", "profile": [{"text": "x"}]}]', "question 1 has an item without an id"),
        ('[{"id": "1", "profile": []}, {"id": 1, "profile": []}]', "question 1 is there twice"),
        ('[{"id": "1", "profile": []},', "is cut off"),
    ],
)
def test_broken_rankings_are_one_line(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(UserError, match=expected):
        load_ranking(str(tmp_path / "r.json"))


def test_a_merged_list_is_a_ranking(tmp_path: Path) -> None:
    file = tmp_path / "merged.json"
    file.write_text('[{"id": 7, "input": "x", "profile": [{"id": 3, "text": "y"}, {"id": "b"}], "output": "z"}]')
    assert load_ranking(str(file)) == {"7": ("3", "b")}


def test_ids_are_read_as_text() -> None:
    assert parse_ranking(b'{"1": [3, "b"]}', "f") == {"1": ("3", "b")}
