"""Which runs a sweep consists of."""

import re

import pytest

from hydra_ray.config import Config
from hydra_ray.core.grid import parse_grid, split_values
from hydra_ray.errors import UserError


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("25,50,100", ("25", "50", "100")),
        ("linear", ("linear",)),
        ("", ("",)),
        ("[a,b]", ("[a,b]",)),
        ("[a,b],[c], null", ("[a,b]", "[c]", "null")),
        ("{a: 1, b: [2, 3]},x", ("{a: 1, b: [2, 3]}", "x")),
        ("'a,b',\"c,d\"", ("'a,b'", '"c,d"')),
        ("it's,that", ("it's", "that")),
        ('["x,]",y],z', ('["x,]",y]', "z")),
    ],
)
def test_commas_within_brackets_and_quotes_separate_nothing(text: str, values: tuple[str, ...]) -> None:
    assert split_values(text) == values


def test_a_grid_has_every_combination_with_a_name_of_its_own() -> None:
    grid = parse_grid(["protocol.train_users=25,50", "root=x", "model.head=linear,shared"])
    assert grid.fixed == ("root=x",)
    assert [str(point) for point in grid.points] == [
        "protocol.train_users=25 model.head=linear",
        "protocol.train_users=25 model.head=shared",
        "protocol.train_users=50 model.head=linear",
        "protocol.train_users=50 model.head=shared",
    ]
    assert grid.points[3].suffix == "train_users-50-head-shared"


@pytest.mark.parametrize(
    "words",
    [
        ["data.root=a/b,a_b"],
        ["train.loss=bce,ranknet", "other.loss=1,2"],
        ["retrieval.fuse=[bm25,dense],[bm25,recency]"],
        ["data.questions_after=2020-01-01,null"],
        ["x.y=-1,1"],
    ],
)
def test_suffixes_differ_and_are_names(words: list[str]) -> None:
    suffixes = [point.suffix for point in parse_grid(words).points]
    assert len(set(suffixes)) == len(suffixes)
    pattern = Config.model_json_schema()["properties"]["name"]["pattern"]
    assert all(re.match(pattern, f"run-{suffix}") for suffix in suffixes)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to sweep"),
        (["protocol.train_users=25"], "nothing to sweep"),
        (["train_users"], "write it as section.key=value"),
        (["a.b=1,2", "a.b=3,4"], "a.b: stands twice"),
        (["a.b=1,2", "a.b=3"], "the key has several values as well"),
        (["a.b=1,,2"], "empty value"),
        (["a.b=1,1"], "names a value twice"),
        (["name=a,b"], "name: a sweep cannot vary it"),
    ],
)
def test_a_mistake_is_named(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_grid(words)
