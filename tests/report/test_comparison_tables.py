"""A comparison for people."""

from dataclasses import replace

from hydra_ray.report.comparison_tables import comparison_markdown, comparison_table, method_rows, pair_rows
from hydra_ray.report.method_costs import MethodCosts, Usage
from tests.report.compared import comparison_of, costs_of
from tests.report.made_up import TAGGING, made_up_rows


def row_of(name: str, **options: object) -> list[str]:
    header, body = method_rows(comparison_of(**options))  # type: ignore[arg-type]
    assert all(len(row) == len(header) for row in body)
    return next(row for row in body if row[0].split()[0] == name)


def test_costs_in_the_table() -> None:
    assert row_of("hydra")[4:] == ["1", "32", "4,397", "574,825", "32.90", "5 min 49 s", "276"]
    assert row_of("user_majority")[4:] == ["0", "0", "0", "0", "0", "0", "0"]


def test_what_is_not_known_is_not_printed_as_whole() -> None:
    costs = MethodCosts(Usage(1, 100, 2, unknown=0.1), Usage(50, 10, 10, unknown=3), new_user=None)
    cells = row_of("hydra", costs={"hydra": costs, "zero_shot": costs_of("zero_shot")})
    assert cells[5] == "≥ 102"
    assert cells[7] == "≥ 20"
    assert cells[8] == "-"


def test_groups_that_are_empty_are_not_printed() -> None:
    alone = {name: costs_of(name) for name in ("zero_shot", "bm25_k4")}
    for text in (comparison_table(comparison_of(costs=alone)), comparison_markdown(comparison_of(costs=alone))):
        assert "needs nothing" in text
        assert "need training" not in text
        assert "weights" not in text
    assert "need training" in comparison_table(comparison_of())


def test_methods_that_lack_answers_are_marked() -> None:
    rows = made_up_rows(TAGGING, users=20, each=1, seeds=1)
    rows = [replace(row, missing=frozenset({"hydra"} if i < 3 else ())) for i, row in enumerate(rows)]
    text = comparison_table(comparison_of(rows))
    assert "! hydra: " in text
    assert "answers missing" in text
    assert next(line for line in text.splitlines() if line.startswith("hydra ")).split("  ")[0].endswith("!")


def test_pairs_show_the_better_method_first() -> None:
    comparison = comparison_of()
    _, body = pair_rows(comparison)
    assert len(body) == 136
    assert not any(row[2].startswith("−") for row in body)
    _, of_hydra = pair_rows(comparison, "hydra")
    assert len(of_hydra) == 16
    assert {row[0] for row in of_hydra} == {"hydra"}
    _, of_zero_shot = pair_rows(comparison, "zero_shot")
    assert next(row for row in of_zero_shot if row[1] == "hydra")[2].startswith("−")


def test_what_is_left_out_is_said() -> None:
    for text in (comparison_table, comparison_markdown):
        assert "rspg_pre is left out: it learns nothing" in text(
            comparison_of(left_out={"rspg_pre": "it learns nothing"})
        )


def test_one_method_alone_has_no_pairs() -> None:
    comparison = comparison_of(costs={"hydra": costs_of("hydra")})
    assert "0 pairs" in comparison_markdown(comparison)
    assert "against the others" not in comparison_markdown(comparison)
