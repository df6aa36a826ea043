"""A tiny trained run's parts: two random bases and head stores whose heads tell users apart."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hydra_ray.config import ItemFeatures
from hydra_ray.inference.types import Component
from hydra_ray.pipeline.ranking_examples import feature_width
from hydra_ray.serve.bundle import COMPONENTS, RunArtifacts
from hydra_ray.serve.state.folders import heads_folder
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.store.heads.spec import HeadSpec
from hydra_ray.training.artifacts.trained_scorer import fingerprint, load_scorer
from tests.pipeline.fitted_world import make_config, write_base

BUCKETS = 8


def make_bundle(folder: Path, kind: str = "linear", features: ItemFeatures = "none") -> RunArtifacts:
    """Both components have a random base; without features the same one."""
    config = make_config(folder, kind)
    reranker = config.reranker.model_copy(update={"features": features})
    adapter = config.adapter.model_copy(update={"features": features != "none"})
    config = config.model_copy(update={"reranker": reranker, "adapter": adapter})
    base = {
        component: write_base(folder, config, f"base-{width}", width, spread=0.5)
        for component, width in ((component, feature_width(config, component)) for component in COMPONENTS)
    }
    return RunArtifacts("a-run", config, 0, base, {}, {}, folder / "ingest")


def make_stores(bundle: RunArtifacts, state: Path) -> dict[Component, HeadStore]:
    """Empty head stores of both components."""
    stores: dict[Component, HeadStore] = {}
    for component in COMPONENTS:
        head = load_scorer(bundle.base[component]).head
        model = bundle.config.model
        base = fingerprint(bundle.base[component])
        spec = HeadSpec(model.head, model.pair_dim, model.rank, head.delta_shapes(), base, BUCKETS)
        stores[component] = HeadStore.create(str(heads_folder(state, component)), spec)
    return stores


def heads(store: HeadStore, *values: float) -> dict[str, NDArray[np.float32]]:
    """A head per value: every number of its bias is that value, with opposite signs for the two classes."""
    made = {name: np.zeros((len(values), *shape), np.float32) for name, shape in store.spec.shapes.items()}
    for i, value in enumerate(values):
        made["out_bias"][i] = [-value, value]
    return made
