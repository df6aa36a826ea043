"""Buckets of users, fitted in this process."""

from pathlib import Path

import numpy as np

from hydra_ray.pipeline.fit_buckets import FitBuckets
from hydra_ray.pipeline.fit_records import record_file
from hydra_ray.pipeline.fit_spec import FitSpec
from hydra_ray.training.artifacts.user_heads import new_store

TUNED = {"l2": 0.01}


def fitted(fit: FitSpec, out: Path, batch: int = 1) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """All users' output weights, fitted without Ray in runs of `batch` buckets."""
    import json

    store = new_store(out, fit.spec(fit.scorer()))
    buckets = list(fit.by_bucket())
    parts = [buckets[i : i + batch] for i in range(0, len(buckets), batch)]
    FitBuckets(fit, TUNED, out)({"buckets": parts})
    store.publish([json.loads(record_file(out, bucket).read_text()) for bucket in buckets], replace=True)
    ids = store.users()
    return dict(zip(ids, store.get(ids)[1]["out_weight"], strict=True))
