from hydra_ray.report.methods import in_order, method_of


def test_methods_that_are_not_registered_are_described_by_their_names() -> None:
    assert method_of("bm25_k4").title == "BM25, k=4"
    assert method_of("hydra_of_old") == ("hydra_of_old", "hydra_of_old", "ours", "")
    assert method_of("somebodys") == ("somebodys", "somebodys", "trains nothing", "")


def test_groups_follow_each_other_and_hydra_is_the_last() -> None:
    names = ["hydra", "somebodys", "hydra_of_old", "ropg_kd_k1", "hydra_reranker", "bm25_k4", "zero_shot", "zero_shot"]
    assert in_order(names) == [
        "zero_shot", "bm25_k4", "somebodys", "ropg_kd_k1", "hydra_reranker", "hydra_of_old", "hydra",
    ]  # fmt: skip
