"""What sweep.json says of its runs."""

import json

from hydra_ray.report.sweep import main_methods
from tests.report.made_up import report_of
from tests.report.swept import sweep_of

KEY = "protocol.train_users"


def test_each_run_stands_with_its_values_and_the_main_methods() -> None:
    sweep = sweep_of(f"{KEY}=25,50,100")
    json.dumps(sweep, allow_nan=False)
    assert sweep["axes"] == {KEY: ["25", "50", "100"]}
    assert [point["values"][KEY] for point in sweep["points"]] == ["25", "50", "100"]
    assert [point["users"]["train"] for point in sweep["points"]] == [10, 20, 30]
    assert sweep["methods"][0] == "zero_shot"
    assert sweep["methods"][-2:] == ["hydra_shared", "hydra"]
    for point in sweep["points"]:
        assert list(point["methods"]) == sweep["methods"]
        assert all(m["ci95"][0] <= m["value"] <= m["ci95"][1] for m in point["methods"].values())


def test_the_best_that_trains_nothing_is_chosen_over_all_runs() -> None:
    one, other = report_of(), report_of()
    for report, winner in ((one, "bm25_k4"), (other, "bm25_k4")):
        for name in report["methods"]:
            report["methods"][name]["accuracy"] = 0.9 if name == winner else 0.5
    other["methods"]["bm25_k1"]["accuracy"] = 1.0
    assert main_methods([one, other]) == ["zero_shot", "bm25_k4", "hydra_shared", "hydra"]
    del other["methods"]["hydra_shared"]
    assert main_methods([one, other]) == ["zero_shot", "bm25_k4", "hydra"]
    assert main_methods([]) == []


def test_a_run_that_failed_and_one_that_waits_are_told_apart() -> None:
    points = sweep_of(f"{KEY}=25,50,100", failed="-25", waiting="-100")["points"]
    assert [point["failed"] for point in points] == ["the server is gone", None, None]
    assert ["methods" in point for point in points] == [False, True, False]


def test_methods_that_are_named_are_shown() -> None:
    sweep = sweep_of(f"{KEY}=25,50", methods=["user_majority", "hydra"])
    assert all(list(point["methods"]) == ["user_majority", "hydra"] for point in sweep["points"])
