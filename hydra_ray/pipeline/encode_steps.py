"""The steps that encode texts ahead of what reads them, where the encoder is frozen and embeddings are kept."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra_ray.config.head_kinds import head_kind
from hydra_ray.config.pair_kinds import pair_kind
from hydra_ray.core.sampling import Trial
from hydra_ray.core.types import Split
from hydra_ray.inference.types import Component
from hydra_ray.models.encoder_source import spec_of
from hydra_ray.pipeline.data_steps import DataSteps
from hydra_ray.pipeline.llm_rows import Asking
from hydra_ray.pipeline.once import once
from hydra_ray.pipeline.step import StepResult
from hydra_ray.pipeline.step_settings import asking, hash_of, label_settings, read_by


class EncodeSteps(DataSteps):
    """`encode-…`. A finished step says that its texts have embeddings; they are in the store, which all runs share."""

    def encode_examples(self, component: Component, trial: Trial, answered: StepResult) -> StepResult | None:
        """The texts that training and fits of a component read; None where its base reads none, or pairs, or trains the
        encoder. All folds of a seed share those of the same rows.

        answered: the step whose rows are learned from.
        """
        from hydra_ray.pipeline.encode_sources import ExampleTexts

        config = read_by(self.config, component)
        model, routed = config.model, head_kind(config.model.head).routed
        reads = pair_kind(model.pair).reads
        frozen = model.freeze_encoder and reads in ("texts", "sentences")
        if not frozen and not routed:
            return None
        if component == "reranker":
            trial = Trial(trial.seed)
        users = asking(self.chosen(trial))
        about = {"reads": reads, "sentences": model.sentences if reads == "sentences" else 0, "routed": routed}
        about |= label_settings(config, component)
        inputs = {"answers": answered.key, **({"users": hash_of(users)} if routed else {})}
        source = ExampleTexts(config, component, answered.path.resolve(), self.ingest().path.resolve(), _splits(users))
        return self._encode(component, trial, about, inputs, source)

    @once
    def encode_histories(self, trial: Trial) -> StepResult | None:
        """The texts of whole histories; None where nothing reads them."""
        from hydra_ray.pipeline.encode_sources import HistoryTexts

        dense, alike = self.config.retrieval.encodes, self.config.adapter.history_similarity
        if not dense and not alike:
            return None
        users = asking(self.chosen(trial))
        inputs = {"ingest": self.ingest().key, "users": hash_of(users)}
        source = HistoryTexts(self.config, self.ingest().path.resolve(), _splits(users))
        about = {"dense": dense, "history_similarity": alike, "task": self._task}
        return self._encode("histories", trial, about, inputs, source)

    def _encode(
        self, name: str, trial: Trial, about: Mapping[str, Any], inputs: Mapping[str, str], source: Any
    ) -> StepResult:
        from hydra_ray.pipeline.encode_texts import encode_source

        step = f"encode-{name}"

        def work(folder: Path) -> dict[str, int]:
            def log(line: str) -> None:
                self.run.log(f"{step}: {line}")

            scratch, resources = (folder / "scratch").resolve(), self.config.resources
            return encode_source(source, self.run.embedding_store, scratch, resources, log, self.run.ray)

        return self._step(step, {**asdict(spec_of(source.model)), **about}, inputs, work, f"{step} {trial}")


def _splits(users: Asking) -> dict[str, Split]:
    return {user_id: source for user_id, (source, _) in users.items()}
