"""Which methods a comparison shows, and why the others cannot run."""

from typing import Any

import pytest

from hydra_ray.config import Config
from hydra_ray.errors import UserError
from hydra_ray.methods.chosen import choose_methods
from hydra_ray.registries import METHODS


def config(**changes: Any) -> Config:
    return Config.model_validate(changes)


def test_all_is_every_method_but_those_that_lack_a_ranking() -> None:
    chosen = choose_methods(config(), "all")
    assert set(chosen.left_out) == {"ranking_k1", "ranking_k2", "ranking_k4"}
    assert all("retrieval.ranking" in why for why in chosen.left_out.values())
    # Other tests may have registered methods of their own.
    shown = tuple(name for name in chosen.shown if name in METHODS.builtin)
    assert shown == tuple(name for name in METHODS.builtin if name not in chosen.left_out)
    assert {"dense_k4", "ropg_rl_k1", "rspg_post"} <= set(chosen.further)
    assert "hydra" not in chosen.further
    assert chosen.named == frozenset()


def test_a_ranking_file_lets_all_run() -> None:
    assert not choose_methods(config(retrieval={"ranking": "ranking.json"}), "all").left_out


def test_what_fuses_or_chooses_a_ranking_lacks_it_too() -> None:
    left_out = choose_methods(
        config(retrieval={"fuse": ["bm25", "ranking"]}, rspg={"pool": ["none", "ranking"]}), "all"
    )
    assert {"rrf_k4", "rspg_pre", "rspg_post"} <= set(left_out.left_out)


@pytest.mark.parametrize(
    ("changes", "name", "reason"),
    [
        ({"evaluate": {"paper": False}}, "hydra_paper", "evaluate.paper"),
        ({"fit": {"guard": 0}}, "hydra_unguarded", "fit.guard"),
        ({"model": {"head": "shared"}}, "hydra_unguarded", "model.head=shared"),
        ({}, "ranking_k4", "retrieval.ranking"),
        ({"llm": {"base_url": "http://127.0.0.1:9/v1"}}, "oppu_k4", "leave out llm.base_url"),
        ({"llm": {"base_url": "http://127.0.0.1:9/v1"}}, "finetuned_k0", "leave out llm.base_url"),
        ({"llm": {"serve": {"engine": "transformers", "source": "a/b"}}}, "oppu_k4", "set llm.serve.engine=vllm"),
        ({"llm": {"serve": {"source": "org/model"}}}, "oppu_k4", "training needs weights in a folder"),
        ({"llm": {"serve": {"source": "org/model"}}}, "finetuned_k0", "training needs weights in a folder"),
        ({"lora": {"targets": ["c_attn"]}}, "peft_k0", "the base has no linear layer 'c_attn'; it has down_proj"),
    ],
)
def test_a_method_that_is_named_must_run(changes: dict[str, Any], name: str, reason: str) -> None:
    assert reason in choose_methods(config(**changes), "all").left_out[name]
    with pytest.raises(UserError, match=f"{name} cannot run: .*{reason}"):
        choose_methods(config(**changes), f"bm25_k4,{name}")
    with pytest.raises(UserError, match=f"{name} cannot run"):
        choose_methods(config(**changes), f"all,{name}")


def test_what_the_configuration_names_must_run_as_well() -> None:
    with pytest.raises(UserError, match="ranking_k1 cannot run"):
        choose_methods(config(evaluate={"methods": ["ranking_k1"]}), "all")


def test_named_methods_alone_are_shown_in_the_order_of_the_table() -> None:
    chosen = choose_methods(config(evaluate={"methods": ["dense_k1"]}), "hydra, bm25_k4,recency_k4")
    assert chosen.shown == ("bm25_k4", "recency_k4", "hydra")
    assert chosen.further == ("recency_k4",)


@pytest.mark.parametrize(("wanted", "message"), [("bm25_k5", "did you mean 'bm25_k4'"), (" , ", "names no method")])
def test_a_mistake_in_the_names(wanted: str, message: str) -> None:
    with pytest.raises(UserError, match=f"--methods: .*{message}"):
        choose_methods(config(), wanted)


def test_an_encoder_decoder_may_be_fine_tuned() -> None:
    chosen = choose_methods(config(llm={"serve": {"engine": "transformers", "source": "a/b"}}), "all")
    assert {"finetuned_k0", "finetuned_k4"} <= set(chosen.shown)
    assert {"task_lora_k0", "peft_k4", "oppu_k0"} <= set(chosen.left_out)
