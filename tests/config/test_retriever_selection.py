"""The section `rspg`: pools that cannot be chosen from."""

import pytest

from hydra_ray.config import load_config
from hydra_ray.errors import UserError


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["rspg.pool=[none,bm26]"], "rspg.pool: no retriever 'bm26'; did you mean 'bm25'? there are none, bm25,"),
        (["rspg.pool=[bm25]"], "rspg.pool: a choice needs two retrievers or more"),
        (["rspg.pool=[]"], "rspg.pool: a choice needs two retrievers or more"),
        (["rspg.pool=[none,bm25,none]"], "rspg.pool: names a retriever twice"),
        (
            ["rspg.pool=[none,ropg_kd]", "evaluate.methods=[rspg_post,ropg_rl_k4]"],
            "rspg.pool: this run does not train ropg_kd; add ropg_kd_k4 to evaluate.methods, or leave it out",
        ),
        (["rspg.holdout=0"], "rspg.holdout"),
    ],
)
def test_a_pool_that_cannot_be_chosen_from_is_one_line(overrides: list[str], expected: str) -> None:
    with pytest.raises(UserError) as error:
        load_config(None, overrides)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_a_learned_retriever_is_in_the_pool_where_the_run_trains_it() -> None:
    pool = "rspg.pool=[none,ropg_kd]"
    assert load_config(None, [pool, "evaluate.methods=[rspg_pre,ropg_kd_k1]"]).rspg.pool == ("none", "ropg_kd")
    # Nobody reads the pool.
    assert load_config(None, [pool]).rspg.pool == ("none", "ropg_kd")
