import math
from dataclasses import replace

from hydra_ray.training.joint.ranking_examples import (
    RANKING_EXAMPLE_SCHEMA,
    RankingExample,
    examples_from_table,
    examples_to_table,
)

EXAMPLE = RankingExample("u", 3, "p:1", "query", ("a", "b", "c"), (1.0, math.nan, 0.0), ((0.5,), (0.25,), (0.0,)))


def test_rows_without_a_label_do_not_count() -> None:
    assert EXAMPLE.labelled == 2


def test_examples_come_back_from_arrow_and_a_missing_label_is_null() -> None:
    plain = replace(EXAMPLE, user_id="v", label=(0.0, 1.0, 1.0), features=())
    table = examples_to_table([EXAMPLE, plain])
    assert table.schema == RANKING_EXAMPLE_SCHEMA
    assert table["label"].to_pylist()[0] == [1.0, None, 0.0]
    first, second = examples_from_table(table)
    assert second == plain
    assert math.isnan(first.label[1])
    assert replace(first, label=()) == replace(EXAMPLE, label=())
    assert (first.label[0], first.label[2]) == (1.0, 0.0)


def test_what_stands_in_many_rows_is_in_memory_once() -> None:
    first, second = examples_from_table(examples_to_table([EXAMPLE, replace(EXAMPLE, query_id="p:2", query="a")]))
    assert first.user_id is second.user_id
    assert first.candidates[0] is second.candidates[0] is second.query
    assert first.label[0] is second.label[0]
