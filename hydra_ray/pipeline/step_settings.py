"""What a step reads: its settings, the users in their roles, the answers that an earlier step has left."""

import hashlib
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq

from hydra_ray.config import Config
from hydra_ray.config.head_kinds import joint_kind
from hydra_ray.core.sampling import UserSample
from hydra_ray.core.types import Split
from hydra_ray.inference.types import Component
from hydra_ray.models.encoder_source import encoder_settings, wherever_it_lies
from hydra_ray.pipeline.llm_rows import Asking
from hydra_ray.registries import HEADS, LOSSES, PAIR_ENCODERS

Start = Literal["joint", "shared"]
"""The trained base that users' heads start from (`fit.start`)."""
SHARED = "shared"
"""The folder of the base that was trained without users' heads."""
TUNED_BASE = "base"
"""The same in a tuning's folder, where users' heads start from it."""


def base_of(trained: Path, tuned: Path | None, kind: str) -> Path:
    """The base that users' heads belong to. trained, tuned: folders of the steps; kind: `model.head`."""
    if tuned is not None and (tuned / TUNED_BASE).is_dir():
        return tuned / TUNED_BASE
    return trained / joint_kind(kind)


def method_stage(name: str) -> str:
    """What the step of a method that a run does not show unasked is called."""
    return f"method-{name}"


def training_stage(calls: str) -> str:
    """What the step of a method's calls about training users is called. calls: `TrainingCalls.name`."""
    return f"ask-{calls}"


def label_settings(config: Config, component: Component) -> dict[str, Any]:
    """How answers become labelled rows."""
    section = config.reranker if component == "reranker" else config.adapter
    read: dict[str, Any] = section.model_dump(mode="json", include={"label", "features", "history_candidates"})
    if component == "adapter" and config.adapter.zero_shot_candidate:
        read["zero_shot_candidate"] = True
    # Without history queries, rows that the history labels are left out even where the step holds some.
    return read | ({"history_rows": False} if component == "adapter" and not config.adapter.num_history_queries else {})


def topics_encoder(config: Config) -> dict[str, Any]:
    """What turns a text into the embedding that topics are read from."""
    return encoder_settings(config.text_encoder)


def read_by(config: Config, component: Component) -> Config:
    """The config with the model that a component is: the adapter may read no text."""
    if component == "reranker" or config.adapter.text_features:
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"pair": "none"})})


def joint_model(config: Config, component: Component) -> dict[str, Any]:
    """What is trained: the component's model with the kind that its heads are trained as."""
    model = read_by(config, component).model.model_dump(mode="json")
    return {**model, "encoder": wherever_it_lies(model["encoder"]), "head": joint_kind(config.model.head)}


def plugin_versions(config: Config) -> dict[str, Any]:
    """Which versions of plug-ins a training reads; nothing for those of the first version, and for hydra_ray's own."""
    versions = {
        "head_version": HEADS.version(config.model.head),
        "loss_version": LOSSES.version(config.train.loss),
        "pair_version": PAIR_ENCODERS.version(config.model.pair),
    }
    return {name: version for name, version in versions.items() if version > 1}


def asking(chosen: UserSample) -> Asking:
    """Whose rows are made in which role."""
    roles: tuple[Split, Split] = ("train", "test")
    return {user_id: (chosen.source[user_id], role) for role in roles for user_id in chosen.of(role)}


def trained_on(chosen: UserSample) -> Asking:
    """The training users; with folds all users, each of whom some fold trains on."""
    users = chosen.source if chosen.crossed else chosen.train
    return {user_id: (chosen.source[user_id], "train") for user_id in users}


def everyone(chosen: UserSample) -> Asking:
    """All users of a trial; with folds, as all of a seed's share it, in one role."""
    roles = asking(chosen)
    return {user_id: (source, "train" if chosen.crossed else role) for user_id, (source, role) in roles.items()}


def hash_of(users: Asking) -> str:
    """A short hash of users, where their records come from, and their roles."""
    text = "\0".join(f"{user_id}\1{source}\1{role}" for user_id, (source, role) in sorted(users.items()))
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=6).hexdigest()


def first_texts(folder: Path) -> dict[tuple[str, str], list[str | None]]:
    """(user, question) -> the first text that came back for each request, None where none did."""
    if not (folder / "answers").exists():
        return {}
    rows = pq.read_table(folder / "answers", columns=["user_id", "query_id", "texts"]).to_pylist()
    return {(r["user_id"], r["query_id"]): [(texts or [None])[0] for texts in r["texts"]] for r in rows}


def summary_texts(folder: Path) -> dict[tuple[str, str], str]:
    """(user, question) -> the first line of the profile summary."""
    first = {key: (texts[0] or "").strip() for key, texts in first_texts(folder).items()}
    return {key: text.splitlines()[0] if text else "" for key, text in first.items()}
