"""The scorer's work on one batch: texts of many users and requests, reranker and adapter, scored together."""

from collections.abc import Mapping, Sequence

import torch

from hydra_ray.errors import UserError
from hydra_ray.inference.scoring import SHARED, score_requests
from hydra_ray.inference.types import Component, ScoreRequest, ScoreResult
from hydra_ray.serve.bundle import COMPONENTS, RunArtifacts
from hydra_ray.serve.caches.embedding_cache import EmbeddingCache
from hydra_ray.serve.caches.head_cache import HeadCache
from hydra_ray.serve.config import MIB, ScorerConfig
from hydra_ray.serve.state.folders import heads_folder
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.training.artifacts.trained_scorer import TrainedScorer, fingerprint, load_scorer
from hydra_ray.utils.device import CPU, free_memory, worker_device


class BatchScorer:
    """Encoder, both components and their heads. Not for several threads at once."""

    def __init__(self, bundle: RunArtifacts, state: ServiceState, config: ScorerConfig) -> None:
        """Raises UserError if bases or head stores are missing or do not belong together, or a promised GPU is not
        there or too small for the heads that it is to keep."""
        device = worker_device(config.num_gpus)
        self.embeddings: EmbeddingCache | None = None
        self.heads: dict[Component, HeadCache] = {}
        self._scorers: dict[Component, TrainedScorer] = {}
        for component in COMPONENTS:
            scorer = load_scorer(bundle.base[component])
            if self.embeddings is None and not scorer.config.encoder_in_scorer:
                self.embeddings = EmbeddingCache(scorer.config, config.embedding_cache_mib * MIB, device)
            uri = heads_folder(state.folder, component)
            if scorer.head.delta_shapes() and uri.exists():
                base = fingerprint(bundle.base[component])
                self.heads[component] = HeadCache(str(uri), base, config.head_cache_mib * MIB, device)
            self._scorers[component] = TrainedScorer(
                scorer, self.heads.get(component), encode=self.embeddings, device=device
            )
        if device != CPU:
            check_room(config, len(self.heads), free_memory(device, config.num_gpus))
        self._deletions = state.deletions()

    @property
    def feature_widths(self) -> Mapping[Component, int]:
        """How many features per text each component reads."""
        return {component: scorer.scorer.feature_width for component, scorer in self._scorers.items()}

    def deleted(self) -> bool:
        """Whether users or items were deleted since this was last asked. May wait for a database; for any thread."""
        return self.embeddings is not None and self._deletions.new()

    def refresh(self, *, forget: bool) -> None:
        """Takes over new versions of the head stores; forget: all texts as well. Raises UserError."""
        if self.embeddings and forget:
            self.embeddings.clear()
        for heads in self.heads.values():
            heads.refresh()

    def score(self, batch: Sequence[ScoreRequest]) -> list[ScoreResult]:
        """One result per scoring, in order."""
        found: dict[int, ScoreResult] = {}
        for component in COMPONENTS:
            places = [i for i, scoring in enumerate(batch) if scoring.component == component]
            found.update(zip(places, self._score(component, [batch[i] for i in places]), strict=True))
        return [found[i] for i in range(len(batch))]

    def _score(self, component: Component, batch: Sequence[ScoreRequest]) -> list[ScoreResult]:
        if not batch:
            return []
        heads, problems = self.heads.get(component), dict[str, str]()
        if heads:
            wanted: dict[str, int] = {}
            for scoring in batch:
                if scoring.user is not None:
                    wanted[scoring.user] = max(scoring.version, wanted.get(scoring.user, 0))
            problems = heads.prepare(wanted)
        return [
            ScoreResult(
                scores,
                bool(heads and s.user and heads.has_own(s.user)),
                heads.version if heads else 0,
                problems.get(s.user or SHARED),
            )
            for s, scores in zip(batch, score_requests(self._scorers[component], batch), strict=True)
        ]


def check_room(config: ScorerConfig, caches: int, free: int) -> None:
    """Raises UserError where a device with so many free bytes has no room for so many full caches of heads."""
    needed = caches * config.head_cache_mib
    if needed * MIB > free:
        raise UserError(
            f"scorer.head_cache_mib={config.head_cache_mib}: the heads of {caches} components may take {needed} MiB, "
            f"and a replica has {free // MIB} MiB left on its GPU (num_gpus={config.num_gpus:g}): lower "
            "head_cache_mib or raise num_gpus"
        )


def set_threads(threads: int) -> None:
    """PyTorch's threads spin while they wait: next to other processes on the same cores, more of them are slower."""
    torch.set_num_threads(threads)
