"""How many users were fitted, and how."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from hydra_ray.pipeline.fit_records import count_fitted
from tests.pipeline.fitted_buckets import fitted
from tests.pipeline.fitted_world import make_config, make_fit


def test_a_user_without_rows_is_counted(world: Path) -> None:
    fit, out = make_fit(world, make_config(world), world / "answered"), world / "out"
    more = replace(fit, chosen=(*fit.chosen, "nobody"))
    fitted(more, out)
    assert count_fitted(out) == {"users": 9, "with_rows": 8, "kept_shared_head": 0, "guarded": 0, "reused": 0}


def test_who_is_guarded_is_counted_and_gets_no_head(world: Path) -> None:
    free = fitted(make_fit(world, make_config(world), world / "answered"), world / "free")
    heads = fitted(make_fit(world, make_config(world, guard=4), world / "answered"), world / "guarded")
    found = count_fitted(world / "guarded")
    assert found["guarded"] == found["kept_shared_head"] == len(free) - len(heads) == 1
    assert all(np.array_equal(value, free[user]) for user, value in heads.items())
