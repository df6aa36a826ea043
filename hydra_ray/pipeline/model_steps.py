"""The steps that learn: joint training of base and heads, how new users' heads are tuned, and their fits."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hydra_ray.config import Config, TrainConfig
from hydra_ray.config.head_kinds import head_kind, joint_kind
from hydra_ray.config.section import execution_only
from hydra_ray.core.sampling import Trial
from hydra_ray.core.types import Split
from hydra_ray.errors import UserError
from hydra_ray.inference.types import Component
from hydra_ray.pipeline.encode_steps import EncodeSteps
from hydra_ray.pipeline.once import once
from hydra_ray.pipeline.previous_run import PreviousRun
from hydra_ray.pipeline.ranking_examples import feature_width, write_ranking_examples
from hydra_ray.pipeline.step import STEP_VERSIONS, StepResult, step_key
from hydra_ray.pipeline.step_settings import (
    SHARED,
    Start,
    asking,
    base_of,
    hash_of,
    joint_model,
    label_settings,
    plugin_versions,
    read_by,
)

if TYPE_CHECKING:
    from hydra_ray.pipeline.fit_spec import FitSpec

Variant = Literal["", "paper", "unguarded"]
"""Of the adapter: ours, as published, or with heads that no guard takes back."""
EXPERTS = ("history_similarity", "topic_classifier", "zero_shot_candidate")
"""Keys of `adapter` that decide what its features say, kept with the samples that it is made of."""


class ModelSteps(EncodeSteps):
    """`train-…`, `tune-…` and `fit-…` of reranker and adapter."""

    def answered(self, component: Component, trial: Trial) -> StepResult:
        """The step whose answered rows a component learns from."""
        raise NotImplementedError

    @once
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
            examples = folder / "ranking_examples"
            profiles = folder / "profiles" if any(head_kind(kind).routed for kind in kinds) else None
            chosen, users_dir = self.chosen(trial), self.ingest().path
            counts = write_ranking_examples(
                self.run, config, component, answered.path, examples, chosen, users_dir, profiles
            )
            if not counts["rows"]:
                raise UserError(f"{name}: no labelled rows to learn from; are there answers and histories at all?")
            self.run.log(
                f"{name}: {counts['ranking_examples']} queries, {counts['rows']} rows, {counts['positive']} positive"
            )
            job = TrainJob(
                read_by(config, component).model,
                config.train,
                kinds,
                examples.resolve(),
                f"{label} {trial}",
                trial.seed,
                symmetric=component == "reranker",
                feature_width=feature_width(config, component),
                scratch=(folder / "scratch").resolve(),
                embedding_store=self.run.embedding_store,
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
        base_run = self.config.fit.base_run
        if base_run is None:
            return None
        if self.run.archive and not (self.run.root / base_run).exists() and not Path(base_run).is_dir():
            self.run.archive.fetch_run(base_run)
        return PreviousRun(self.run.root, base_run)

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

    @once
    def tune(self, component: Component, trial: Trial, variant: Variant = "") -> StepResult | None:
        """How new users' heads are fitted, learned from the training users; None for kinds without a fit.

        As published, and on an earlier run's bases, heads start from the base that they started from there."""
        from hydra_ray.pipeline.tune_heads import tune_heads

        kind = head_kind(self.config.model.head)
        if not kind.solver:
            return None
        trained, answered = self.train(component, trial, variant), self.answered(component, trial)
        self.encode_examples(component, trial, answered)
        fit, starts = (
            self._fit_spec(component, trial, variant, trained.path, ()),
            self._starts(component, trial, variant),
        )
        folder: dict[Start, str] = {"joint": joint_kind(self.config.model.head), "shared": SHARED}
        bases = {start: trained.path / folder[start] for start in starts}

        def work(out: Path) -> dict[str, Any]:
            return tune_heads(self.run, fit, bases, out)

        name = f"tune-{component}"
        label = f"{name}-paper" if variant == "paper" else name
        settings = {key: value for key, value in fit.config.fit.identity().items() if key != "guard"}
        reading = label_settings(fit.config, component)
        config = {"fit": settings, "starts": starts, "head": fit.kind, "loss": self.config.train.loss, **reading}
        inputs = {"answers": answered.key, "base": trained.key, **self._users_read(trial)}
        return self._step(name, config | plugin_versions(self.config), inputs, work, f"{label} {trial}")

    def _starts(self, component: Component, trial: Trial, variant: Variant) -> tuple[Start, ...]:
        """The trained bases that users' heads may start from."""
        if variant == "paper":
            return ("joint",)
        if self.since:
            return (self.since.step(f"tune-{component} {trial}").manifest["counts"]["start"],)
        wanted = self.config.fit.start
        if wanted == "auto":
            return ("joint", "shared") if head_kind(self.config.model.head).starts_shared else ("joint",)
        return (wanted,)

    def base(self, component: Component, trial: Trial, variant: Variant = "") -> Path:
        """The trained base that users' heads belong to."""
        tuned = self.tune(component, trial, variant)
        trained = self.train(component, trial, variant)
        return base_of(trained.path, tuned.path if tuned else None, self.config.model.head)

    @once
    def fit(self, component: Component, trial: Trial, variant: Variant = "") -> StepResult:
        """Heads of the test users, on their own history, base frozen; and of the training users where joint training
        gave them none on this base. variant: see `Variant`."""
        from hydra_ray.pipeline.fit_users import fit_users

        answered = self.answered(component, trial)
        self.encode_examples(component, trial, answered)
        trained, tuned = self.train(component, trial, variant), self.tune(component, trial, variant)
        chosen = self.chosen(trial).test
        splits: tuple[Split, ...] = ("test",)
        # Folds are not served, so that their training users need no head but the reranker's, which the adapter learns
        # from the prompts of.
        if self.fits_training_users(component, trial, variant) and (
            component == "reranker" or not self.chosen(trial).crossed
        ):
            chosen, splits = chosen + self.chosen(trial).train, ("train", "test")
        name = f"fit-{component}"
        label = f"{name}-{variant}" if variant else name
        settings = self._varied(variant).fit.identity()
        previous = self.since.step(f"{label} {trial}") if self.since else None
        if previous and (then := previous.manifest["config"]["fit"]) != settings:
            changed = next(key for key, value in settings.items() if then.get(key) != value)
            self.run.log(f"{label}: fit.{changed} is another than in {previous.key}, so all users are fitted anew")
            previous = None
        fit = self._fit_spec(component, trial, variant, self.base(component, trial, variant), chosen, splits, previous)

        def work(folder: Path) -> dict[str, Any]:
            return fit_users(self.run, fit, tuned.manifest["counts"] if tuned else {}, folder)

        config: dict[str, Any] = {"fit": settings}
        config |= {"head": fit.kind, "loss": self.config.train.loss, **label_settings(fit.config, component)}
        config |= plugin_versions(self.config)
        inputs = {"answers": answered.key, "base": trained.key, "base_run": previous.key if previous else ""}
        inputs |= {"tuned": tuned.key} if tuned else {}
        inputs |= self._users_read(trial)
        return self._step(name, config, inputs, work, f"{label} {trial}")

    def fits_training_users(self, component: Component, trial: Trial, variant: Variant = "") -> bool:
        """Whether no user's head on the component's base comes from joint training."""
        if head_kind(self.config.model.head).routed:
            return True
        tuned = self.tune(component, trial, variant)
        return tuned is not None and tuned.manifest["counts"]["start"] == "shared"

    def _fit_spec(
        self,
        component: Component,
        trial: Trial,
        variant: Variant,
        base: Path,
        chosen: tuple[str, ...],
        splits: tuple[Split, ...] = ("test",),
        previous: StepResult | None = None,
    ) -> "FitSpec":
        """The heads of `chosen` users on `base`."""
        from hydra_ray.pipeline.fit_spec import FitSpec

        config, answered, trained = (
            self._varied(variant),
            self.answered(component, trial),
            self.train(component, trial, variant),
        )
        about = {
            "base": base.name,
            "splits": splits,
            "answers": answered.key,
            "trained": trained.key,
            **label_settings(config, component),
        }
        key = step_key(f"fit-{component}", STEP_VERSIONS["features"], about, {})
        features = self.run.root / "cache" / "features" / key
        return FitSpec(config, component, self.config.model.head, splits, chosen, answered.path, self.ingest().path,
                       base, self.run.embedding_store, features, previous.path if previous else None,
                       self.chosen(trial))  # fmt: skip
