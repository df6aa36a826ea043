"""Which methods lack answers of the LLM."""

from hydra_ray.config import AdapterConfig
from hydra_ray.pipeline.evaluation import missing_methods

TWO = AdapterConfig(n=2)
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
    assert missing_methods({**WHOLE, "samples:hydra": ()}, TWO, False) == {"hydra", "hydra_paper"}
    assert missing_methods(WHOLE, TWO, True) == {"pag_k0", "pag_k1"}
