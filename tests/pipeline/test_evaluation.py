"""Which answers are compared with what: oracles, the published adapter, methods that lack answers."""

import pytest

from hydra_ray.config import AdapterConfig, Config
from hydra_ray.core.sampling import Trial
from hydra_ray.core.tasks import load_task
from hydra_ray.pipeline.evaluation import best_text, missing_methods
from hydra_ray.pipeline.report_step import train_users


@pytest.mark.parametrize(
    ("task", "gold", "texts", "best"),
    [
        ("synthetic_tagging", "amber", ("birch", "Tag: amber", "amber"), "Tag: amber"),
        ("lamp_3", "4", ("1", "none", "5"), "5"),
        ("lamp_4", "storm over the harbour", ("sun", "storm over town", "storm over the harbour wall"),
         "storm over the harbour wall"),
        ("lamp_3", "4", (), None),
    ],
)  # fmt: skip
def test_the_best_text_of_an_oracle(task: str, gold: str, texts: tuple[str, ...], best: str | None) -> None:
    assert best_text(load_task(task), gold, texts) == best


def test_the_adapter_as_published_reads_texts_alone() -> None:
    ours = AdapterConfig(num_history_queries=5, num_samples=4, label="gold")
    paper = ours.as_published()
    assert (paper.features, paper.history_candidates, paper.num_history_queries, paper.select) == (
        False,
        False,
        0,
        "best",
    )
    assert (paper.num_samples, paper.label, paper.temperature) == (4, "gold", ours.temperature)


def test_folds_are_within_each_seed() -> None:
    protocol = Config.model_validate({"protocol": {"seeds": [3, 4], "folds": 2}}).protocol
    assert protocol.trials == (Trial(3, 0), Trial(3, 1), Trial(4, 0), Trial(4, 1))
    assert [str(trial) for trial in protocol.trials][1] == "seed 3 fold 1"
    for folds in (None, 1):
        assert protocol.model_copy(update={"folds": folds}).trials == (Trial(3), Trial(4))


def test_training_users_are_all_seeds_or_a_folds_mean() -> None:
    assert train_users([("a", "b"), ("b", "c")], False) == 3
    assert train_users([("a", "b", "c"), ("c", "d"), ("a", "d")], True) == 2


TWO = AdapterConfig(num_samples=2)
WHOLE = {
    "greedy:zero_shot": ("a",), "greedy:pag_k0": ("a",), "greedy:pag_k1": ("a",),
    "samples:bm25": ("a", "b"), "samples:hydra": ("a", "b"), "samples:shared": ("a", "b"),
}  # fmt: skip


def test_a_method_lacks_what_it_was_to_choose_from():
    assert missing_methods(WHOLE, TWO, False) == frozenset()
    assert missing_methods({**WHOLE, "greedy:zero_shot": ()}, TWO, False) == {"zero_shot"}
    assert missing_methods({**WHOLE, "samples:bm25": ("a",)}, TWO, False) == {
        "self_consistency",
        "hydra_adapter",
    }
    assert missing_methods({**WHOLE, "samples:hydra": ()}, TWO, False) == {"hydra", "hydra_paper", "hydra_unguarded"}
    assert missing_methods(WHOLE, TWO, True) == {"pag_k0", "pag_k1"}
