"""The fit bench at a size that says nothing about time."""

from argparse import Namespace

from hydra_ray.bench.fit import ASKED, KINDS, SHOWN, run, user_pairs


def test_both_sides_compute_the_same_and_every_figure_is_there() -> None:
    result = run(Namespace(users=1, epochs=(2,), solve_users=4))
    assert set(result["epochs"]) == {"2"}
    for figures in result["epochs"].values():
        assert figures["largest_difference"] < 1e-4
        assert figures["held_out_accuracy"]["cached"] == figures["held_out_accuracy"]["recomputed"]
        assert all(rate > 0 for rate in figures["users_per_s"].values())
    assert result["ratio"] == result["epochs"]["2"]["ratio"]
    assert set(result["solve_alone"]["users_per_s"]) == set(KINDS)


def test_half_of_a_users_queries_is_held_out() -> None:
    pairs, label, learned = user_pairs(3)
    assert len(pairs) == label.numel() == 3 * 2 * ASKED * SHOWN
    assert learned.sum(1).tolist() == [ASKED * SHOWN] * 3
    assert 0 < float(label.mean()) < 1
