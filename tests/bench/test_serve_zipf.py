from hydra_ray.bench.serve_zipf import _budgets, _caches
from hydra_ray.serve.config import ServeConfig

METRICS = """# HELP ray_hydra_cache_bytes ...
ray_hydra_cache_bytes{Component="core_worker",cache="heads",replica="a"} 2097152.0
ray_hydra_cache_hits_total{cache="heads",replica="a"} 30
ray_hydra_cache_misses_total{cache="heads",replica="a"} 10
ray_hydra_cache_bytes{cache="history",replica="b"} 524288
ray_other_total{cache="heads"} 7
"""


def test_caches_by_what_they_hold_and_how_often_it_was_there() -> None:
    assert _caches(METRICS) == {"heads": {"mib": 2.0, "hit_rate": 0.75}, "history": {"mib": 0.5, "hit_rate": 0.0}}


def test_budgets_are_the_configs() -> None:
    config = ServeConfig.model_validate(
        {"run": "x", "history_server": {"cache_mib": 3}, "scorer": {"head_cache_mib": 5}}
    )
    found = _budgets(config)
    assert (found["cache_mib"], found["head_cache_mib"]) == (3, 5)
    assert found["embedding_cache_mib"] == config.scorer.embedding_cache_mib
