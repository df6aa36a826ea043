"""Keys and values that had other names before the first release: refused, with the name that they have now."""

from collections.abc import Sequence

from pydantic import BaseModel

RENAMED_KEYS: dict[str, str] = {
    "data.own": "tabular",
    "llm.native_n": "supports_n",
    "llm.retry_wait_s": "retry_backoff_s",
    "retrieval.n": "top_n",
    "reranker.k": "top_k",
    "reranker.history_queries": "num_history_queries",
    "reranker.evidence": "features",
    "adapter.n": "num_samples",
    "adapter.support": "feature_items",
    "adapter.evidence_items": "feature_items",
    "adapter.history_queries": "num_history_queries",
    "adapter.evidence": "features",
    "adapter.likeness": "history_similarity",
    "adapter.topics": "topic_classifier",
    "adapter.reads_text": "text_features",
    "adapter.own_candidates": "history_candidates",
    "adapter.plain_candidate": "zero_shot_candidate",
    "model.width": "pair_dim",
    "model.facets": "num_experts",
    "model.facets_top": "num_experts_per_user",
    "train.batch": "batch_size",
    "train.lr": "encoder_lr",
    "train.head_lr": "base_lr",
    "train.delta_lr": "user_lr",
    "train.delta_decay": "user_l2",
    "train.balance": "router_balance",
    "train.accumulate": "gradient_accumulation_steps",
    "train.checkpoint_s": "checkpoint_interval_s",
    "fit.stop_margin": "early_stop_margin_se",
    "fit.since": "base_run",
    "without_keys": "allow_anonymous",
    "retriever": "history_server",
    "gateway.in_flight": "max_concurrent_requests",
    "gateway.body_bytes": "max_body_bytes",
    "scorer.batch": "max_batch_size",
    "scorer.batch_wait_s": "batch_wait_timeout_s",
    "scorer.heads_mib": "head_cache_mib",
    "scorer.vectors_mib": "embedding_cache_mib",
    **{
        f"{deployment}.{old}": new
        for deployment in ("gateway", "history_server", "scorer", "fitter")
        for old, new in (
            ("target_ongoing", "target_ongoing_requests"),
            ("look_back_s", "look_back_period_s"),
            ("up_after_s", "upscale_delay_s"),
            ("down_after_s", "downscale_delay_s"),
            ("max_ongoing", "max_ongoing_requests"),
            ("max_queued", "max_queued_requests"),
        )
    },
}
"""Old key -> the name that it has now in the same section."""

MOVED_KEYS: dict[str, str] = {
    "train.workers": "resources.train.num_workers",
    "train.num_workers": "resources.train.num_workers",
    "train.min_workers": "resources.train.num_workers",
    "train.gpu": "resources.train.num_gpus",
    "train.bf16": "train.precision",
    "ray.actors": "resources.score.num_workers",
    "ray.num_actors": "resources.score.num_workers",
    "serve.accelerator": "resources.llm.num_gpus",
    "serve.accelerator_type": "resources.llm.accelerator_type",
    "serve.tensor_parallel": "resources.llm.num_gpus",
    "serve.tensor_parallel_size": "resources.llm.num_gpus",
    "serve.replicas": "resources.llm.num_workers",
}
"""End of an old key's path -> what takes its place, from the root of a run's config."""
HOW_MOVED: dict[str, str] = {
    "train.min_workers": "a range [fewest, most]",
    "train.gpu": "1 is a GPU for each worker",
    "train.bf16": "bf16 or fp32",
    "ray.num_actors": "and num_workers of resources.fit and resources.ask, which it counted too",
    "ray.actors": "and num_workers of resources.fit and resources.ask, which it counted too",
    "serve.accelerator": "1 or more for a GPU, 0 for the CPU",
    "serve.tensor_parallel_size": "the GPUs that one replica is spread over",
    "serve.tensor_parallel": "the GPUs that one replica is spread over",
    "serve.replicas": "a number or a range [fewest, most]",
}
"""End of an old key's path -> how the new value is written."""

RENAMED_VALUES: dict[tuple[str, str], str] = {
    ("data.source", "own"): "tabular",
    ("serve.source", "embedded"): "bundled",
    ("retrieval.tokens", "blanks"): "whitespace",
    ("model.pair", "cross"): "cross_encoder",
    ("model.pair", "bi"): "bi_encoder",
    ("model.head", "shrunk"): "bayesian_linear",
    ("model.head", "facets"): "mixture",
    ("train.loss", "two_class"): "bce",
    ("train.loss", "listwise"): "listnet",
    ("train.loss", "pairwise"): "ranknet",
    ("train.loss", "two_class_listwise"): "bce_listnet",
}
"""(End of a key's path, old value) -> the value that means the same now."""


def new_key(section: type[BaseModel], key: str) -> str | None:
    """What a section's key is called now, if `key` is an old name of it.

    The arguments of an application may be a section that is not at its place in a run's config; what counts is that
    the section has the new name.
    """
    known = section.model_fields
    if key in known:
        return None
    return next((new for old, new in RENAMED_KEYS.items() if old.rsplit(".", 1)[-1] == key and new in known), None)


def new_place(section: type[BaseModel], path: Sequence[str | int], root: type[BaseModel]) -> str | None:
    """Where the value at `path` is set now, if a key of this name has moved there: `NAME (how it is written)`.

    Args:
        section: What holds the key.
        path: Its path.
        root: The whole tree's section; where that is a served model's alone, its resources are not one kind of several.
    """
    place = ".".join(str(part) for part in path[-2:])
    if place not in MOVED_KEYS or str(path[-1]) in section.model_fields:
        return None
    new = MOVED_KEYS[place]
    if "llm" not in root.model_fields:
        new = new.replace("resources.llm.", "resources.")
    return f"{new} ({HOW_MOVED[place]})" if place in HOW_MOVED else new


def new_value(path: Sequence[str | int], value: object) -> str | None:
    """What a value is called now, if it is an old one. A suffix after a colon stays: `embedded:tagging`."""
    if not isinstance(value, str):
        return None
    name, colon, rest = value.partition(":")
    place = ".".join(str(part) for part in path[-2:])
    new = RENAMED_VALUES.get((place, name))
    return f"{new}{colon}{rest}" if new else None
