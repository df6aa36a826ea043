"""The steps that learn: joint training of base and heads, how new users' heads are tuned, and their fits."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from hydra_ray.config import Config, TrainConfig
from hydra_ray.config.head_kinds import head_kind, joint_kind
from hydra_ray.config.section import execution_only
from hydra_ray.core.sampling import Trial
from hydra_ray.core.types import Split
from hydra_ray.errors import UserError
from hydra_ray.inference.types import Component
from hydra_ray.pipeline.encode_steps import EncodeSteps
from hydra_ray.pipeline.examples import evidence_width, write_groups
from hydra_ray.pipeline.previous_run import PreviousRun
from hydra_ray.pipeline.step import STEP_VERSIONS, StepResult, step_key
from hydra_ray.pipeline.step_settings import asking, hash_of, joint_model, label_settings, plugin_versions, read_by

SHARED = "shared"
Variant = Literal["", "paper", "unguarded"]
"""Of the adapter: ours, as published, or with heads that no guard takes back."""
EXPERTS = ("history_similarity", "topic_classifier", "zero_shot_candidate")
"""Keys of `adapter` that decide what its evidence says, kept with the samples that it is made of."""


class ModelSteps(EncodeSteps):
    """`train-…`, `tune-…` and `fit-…` of reranker and adapter."""

    def answered(self, component: Component, trial: Trial) -> StepResult:
        """The step whose answered rows a component learns from."""
        raise NotImplementedError

    def train(self, component: Component, trial: Trial, variant: Variant = "") -> StepResult:
        """Base and heads of reranker or adapter on the training users, personal and shared.

        variant: the adapter as published is trained anew, on the same samples.
        """
        from hydra_ray.training.joint.train_job import TrainJob
        from hydra_ray.training.joint.trainer import train

        if self.since:
            return self._trained_before(component, trial)
        config = self._varied(variant)
        answered = self.answered(component, trial)
        self.encode_examples(component, trial, answered)
        kinds = tuple(dict.fromkeys([joint_kind(self.config.model.head), SHARED]))
        name = f"train-{component}"
        label = f"{name}-paper" if variant == "paper" else name

        def work(folder: Path) -> dict[str, Any]:
            groups = folder / "groups"
            profiles = folder / "profiles" if any(head_kind(kind).routed for kind in kinds) else None
            chosen, users_dir = self.chosen(trial), self.ingest().path
            counts = write_groups(self.run, config, component, answered.path, groups, chosen, users_dir, profiles)
            if not counts["rows"]:
                raise UserError(f"{name}: no labelled rows to learn from; are there answers and histories at all?")
            self.run.log(f"{name}: {counts['groups']} queries, {counts['rows']} rows, {counts['positive']} positive")
            job = TrainJob(
                read_by(config, component).model,
                config.train,
                kinds,
                groups.resolve(),
                f"{label} {trial}",
                trial.seed,
                symmetric=component == "reranker",
                evidence=evidence_width(config, component),
                scratch=(folder / "scratch").resolve(),
                vectors=self.run.vector_cache,
                profiles=profiles.resolve() if profiles else None,
                plugins=config.plugins,
                resources=config.resources.train,
            )
            return {**counts, **train(job, config.data.buckets, folder, self.run.log)}

        training = self.config.train.model_dump(mode="json", exclude=execution_only(TrainConfig))
        key = {
            "model": joint_model(config, component),
            "train": training,
            **label_settings(config, component),
            "seed": trial.seed,
            **plugin_versions(self.config),
        }
        inputs = {"answers": answered.key, **self._users_read(trial)}
        return self._step(name, key, inputs, work, f"{label} {trial}")

    def _varied(self, variant: Variant) -> Config:
        """The config of a variant of the adapter."""
        if variant == "paper":
            return self.config.model_copy(update={"adapter": self.config.adapter.as_published()})
        if variant == "unguarded":
            return self.config.model_copy(update={"fit": self.config.fit.model_copy(update={"guard": 0})})
        return self.config

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The adapters that a run shows. As published it is trained anew, so not where an earlier run's bases stay."""
        found: list[Variant] = [""]
        if self.config.evaluate.paper and not self.since:
            found.append("paper")
        if self.config.fit.guard and head_kind(self.config.model.head).solver:
            found.append("unguarded")
        return tuple(found)

    def _users_read(self, trial: Trial) -> dict[str, str]:
        """Whom a step reads, where the answers that it reads do not say it."""
        return {"users": hash_of(asking(self.chosen(trial)))} if self.chosen(trial).crossed else {}

    @cached_property
    def since(self) -> PreviousRun | None:
        """The earlier run whose bases are kept."""
        return PreviousRun(self.run.root, self.config.fit.base_run) if self.config.fit.base_run else None

    def _trained_before(self, component: Component, trial: Trial) -> StepResult:
        """The training of the earlier run. Raises UserError if it was of another model."""
        assert self.since is not None
        label = f"train-{component} {trial}"
        found = self.since.step(label)
        recorded = found.manifest["config"]
        read = label_settings(self.config, component)
        then = {"loss": recorded["train"]["loss"], **recorded["model"], **{name: recorded.get(name) for name in read}}
        now = {"loss": self.config.train.loss, **joint_model(self.config, component), **read}
        if component == "adapter":
            samples = self.since.step(f"generate {trial}").manifest["config"]
            then |= {name: samples.get(name, False) for name in EXPERTS}
            now |= {name: getattr(self.config.adapter, name) for name in EXPERTS}
        wrong = [name for name, value in now.items() if then.get(name) != value]
        if wrong:
            raise UserError(f"fit.base_run: {found.key} was trained with {wrong[0]}={then.get(wrong[0])}, this config "
                            f"says {now[wrong[0]]}; leave fit.base_run out to train anew")  # fmt: skip
        if label not in self.results:
            self.run.log(f"train-{component}: the base of an earlier run is kept ({found.key})")
        self.results[label] = found
        return found

    def base(self, component: Component, trial: Trial, variant: Variant = "") -> Path:
        """The trained base that users' heads belong to."""
        return self.train(component, trial, variant).path / joint_kind(self.config.model.head)

    def fit(self, component: Component, trial: Trial, variant: Variant = "") -> StepResult:
        """Heads of the test users, on their own history, base frozen; of kinds that joint training does not give a
        user, also those of the training users, whose prompts the adapter learns from. variant: see `Variant`."""
        from hydra_ray.pipeline.fit_spec import FitSpec
        from hydra_ray.pipeline.fit_users import fit_users

        answered = self.answered(component, trial)
        self.encode_examples(component, trial, answered)
        trained, base = self.train(component, trial, variant), self.base(component, trial, variant)
        whole = self._varied(variant)
        both = component == "reranker" and self.fitted_alone
        splits: tuple[Split, ...] = ("train", "test") if both else ("test",)
        name = f"fit-{component}"
        label = f"{name}-{variant}" if variant else name
        reading = label_settings(whole, component)
        chosen = self.chosen(trial).test + (self.chosen(trial).train if both else ())
        about = {"base": base.name, "splits": splits, "answers": answered.key, "trained": trained.key, **reading}
        features = (
            self.run.root / "cache" / "features" / step_key(f"fit-{component}", STEP_VERSIONS["features"], about, {})
        )
        previous = self.since.step(f"{label} {trial}") if self.since else None
        fit = FitSpec(whole, component, self.config.model.head, splits, chosen, answered.path, self.ingest().path, base,
                  self.run.vector_cache, features, previous.path if previous else None,
                  self.chosen(trial))  # fmt: skip

        def work(folder: Path) -> dict[str, Any]:
            return fit_users(self.run, fit, folder)

        config: dict[str, Any] = {"fit": whole.fit.model_dump(mode="json", exclude={"base_run"})}
        config |= {"head": self.config.model.head, "loss": self.config.train.loss, **reading}
        config |= plugin_versions(self.config)
        inputs = {"answers": answered.key, "base": trained.key, "base_run": previous.key if previous else ""}
        inputs |= self._users_read(trial)
        return self._step(name, config, inputs, work, f"{label} {trial}")
