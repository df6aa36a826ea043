"""What another package or a module of `plugins` may add to, by name. What comes with hydra_ray has its line here.

Nothing is imported before it is asked for: a configuration's names are checked without torch. docs/extending.md shows
how a retriever, a head and a method are added.
"""

from typing import Any

from hydra_ray.utils.registry import Registry

_BASELINES = (
    "user_majority", "zero_shot", "random_k1", "random_k2", "random_k4", "bm25_k1", "bm25_k2", "bm25_k4",
    "recency_k1", "recency_k2", "recency_k4", "dense_k1", "dense_k2", "dense_k4", "rrf_k4", "ranking_k1", "ranking_k2",
    "ranking_k4", "pag_k0", "pag_k1", "self_consistency",
)  # fmt: skip
_LORA = (
    "task_lora_k0", "task_lora_k4", "peft_k0", "peft_k4", "rag_peft_k4", "oppu_k0", "oppu_k4", "task_lora_pag_k1",
    "oppu_pag_k1",
)  # fmt: skip
_FINETUNED = ("finetuned_k0", "finetuned_k4")
_ROPG = ("ropg_kd_k1", "ropg_kd_k4", "ropg_rl_k1", "ropg_rl_k4")
_ROPG_USER = ("ropg_kd_user_k1", "ropg_kd_user_k4")
_FACETS = ("mof_k1", "mof_k4")
_RSPG = ("rspg_pre", "rspg_post")
_HYDRA = ("hydra_reranker", "hydra_adapter", "hydra_shared", "hydra_paper", "hydra_unguarded", "hydra")

TASK_KINDS: Registry[Any] = Registry(
    "kind of task",
    {name: f"hydra_ray.core.task_kinds.{name}" for name in ("classification", "rating", "generation")},
)
"""Values of a task's `kind`: instances of `hydra_ray.core.tasks.TaskKind`."""

RETRIEVERS: Registry[Any] = Registry(
    "retriever",
    {
        **dict.fromkeys(("bm25", "recency", "random", "dense"), "hydra_ray.core.retrieval"),
        **dict.fromkeys(("rrf", "ranking"), "hydra_ray.core.rank_fusion"),
    },
)
"""Values of `retrieval.method`: `hydra_ray.core.retrieval.RetrieverKind`."""

PAIR_ENCODERS: Registry[Any] = Registry(
    "pair encoder",
    dict.fromkeys(("cross_encoder", "bi_encoder", "concepts", "none"), "hydra_ray.config.pair_kinds"),
)
"""Values of `model.pair`: `hydra_ray.config.pair_kinds.PairKind`."""

HEADS: Registry[Any] = Registry(
    "kind of head",
    dict.fromkeys(
        ("dense", "low_rank", "linear", "bayesian_linear", "mixture", "shared"), "hydra_ray.config.head_kinds"
    ),
)
"""Values of `model.head`: `hydra_ray.config.head_kinds.HeadKind`."""

LOSSES: Registry[Any] = Registry(
    "loss", dict.fromkeys(("bce", "listnet", "ranknet", "bce_listnet"), "hydra_ray.models.losses")
)
"""Values of `train.loss`: `hydra_ray.models.losses.LossFunction`."""

METHODS: Registry[Any] = Registry(
    "method",
    {
        **dict.fromkeys(_BASELINES, "hydra_ray.methods.baselines"),
        **dict.fromkeys(_ROPG, "hydra_ray.methods.ropg"),
        **dict.fromkeys(_ROPG_USER, "hydra_ray.methods.ropg_user"),
        **dict.fromkeys(_FACETS, "hydra_ray.methods.facets"),
        **dict.fromkeys(_LORA, "hydra_ray.methods.lora"),
        **dict.fromkeys(_FINETUNED, "hydra_ray.methods.finetuned"),
        **dict.fromkeys(_RSPG, "hydra_ray.methods.rspg"),
        **dict.fromkeys(_HYDRA, "hydra_ray.methods.hydra"),
    },
)
"""Rows of the result table, in its order; values: `hydra_ray.methods.method.Method`."""
