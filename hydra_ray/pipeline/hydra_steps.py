"""What HYDRA learns from: the LLM's answers for reranker and adapter, and what texts alone say of their answers."""

from pathlib import Path
from typing import Any

from hydra_ray.core.sampling import Trial
from hydra_ray.data.reader import read_users
from hydra_ray.errors import UserError
from hydra_ray.inference.types import Component
from hydra_ray.pipeline.gold_check import wordless_golds
from hydra_ray.pipeline.model_steps import ModelSteps
from hydra_ray.pipeline.once import once
from hydra_ray.pipeline.stage_prompts import GeneratePrompts, LabelPrompts
from hydra_ray.pipeline.step import StepResult
from hydra_ray.pipeline.step_settings import asking, everyone, hash_of, topics_encoder

NOT_ASKED = {"label", "select", "features", "history_candidates", "text_features"}
"""Keys of `adapter` that change no prompt."""


class HydraSteps(ModelSteps):
    """`label`, `generate` and `topics`, which reranker and adapter are trained on."""

    @once
    def label(self, trial: Trial) -> StepResult:
        """Reranker feedback of training and test users' own records (never of an evaluated question).

        All folds of a seed share it: a user's real questions are asked as well, and only training reads those.
        """
        chosen, trial = self.chosen(trial), Trial(trial.seed)
        protocol = self.config.protocol
        config = {
            "pseudo_queries": protocol.pseudo_queries,
            "train_questions": protocol.train_questions,
            "num_history_queries": self.config.reranker.num_history_queries,
        }

        def args() -> tuple[Any, ...]:
            warning = wordless_golds(self.run.task, read_users(self.ingest().path, user_ids=chosen.test))
            if warning:
                self.run.log(warning)
            self.encode_histories(trial)
            return self._plain, trial.seed, self.run.embedding_store

        return self._ask("label", config, {}, trial, LabelPrompts, args, everyone(chosen))

    def answered(self, component: Component, trial: Trial) -> StepResult:
        """See `ModelSteps`."""
        return self.label(trial) if component == "reranker" else self.generate(trial)

    @once
    def generate(self, trial: Trial) -> StepResult:
        """Adapter candidates: samples after the reranker's examples."""
        trained, fitted = self.train("reranker", trial), self.fit("reranker", trial)
        chosen = self.chosen(trial)
        protocol, adapter = self.config.protocol, self.config.adapter
        config = {
            "pseudo_queries": protocol.pseudo_queries,
            "train_questions": protocol.train_questions,
            "top_k": self.config.reranker.top_k,
            **adapter.model_dump(mode="json", exclude=NOT_ASKED),
            "feature_items": adapter.items_retrieved(self.config.retrieval.top_n),
        }
        topics = self.topics(trial)
        inputs = {"base": trained.key, "heads": fitted.key, **({"topics": topics.key} if topics else {})}

        def args() -> tuple[Any, ...]:
            base = self.base("reranker", trial)
            heads = {"train": fitted.path if self.fits_training_users("reranker", trial) else base, "test": fitted.path}
            return self._plain, trial.seed, self.run.embedding_store, base, heads, topics.path if topics else None

        return self._ask("generate", config, inputs, trial, GeneratePrompts, args, asking(chosen))

    @once
    def topics(self, trial: Trial) -> StepResult | None:
        """What texts alone say of their answers, learned from the training users' histories; None if it is not read.

        Of an earlier run, whose bases learned to read them, they are that run's."""
        from hydra_ray.pipeline.topics import train_topics

        if not self.config.adapter.reads_topics(self.run.task):
            return None
        if self.since:
            return self._topics_before(trial)
        chosen, encoder = self.chosen(trial), self.config.text_encoder

        def work(folder: Path) -> dict[str, Any]:
            from hydra_ray.models.text_embeddings import text_embeddings

            encode = text_embeddings(encoder, self.run.embedding_store)
            return train_topics(self.run.task, self.ingest().path, chosen.train, encode, folder, trial.seed)

        inputs = {"ingest": self.ingest().key, "users": hash_of(asking(chosen))}
        config = {"encoder": topics_encoder(self.config), "task": self._task, "seed": trial.seed}
        return self._step("topics", config, inputs, work, f"topics {trial}")

    def _topics_before(self, trial: Trial) -> StepResult:
        """The topics of the earlier run. Raises UserError if it has none, or another encoder's."""
        assert self.since is not None
        label = f"topics {trial}"
        if label not in self.since:
            raise UserError(f"fit.base_run: {self.since.name} was trained with adapter.topic_classifier=false: "
                            "set it to false, or leave fit.base_run out to train anew")  # fmt: skip
        found = self.since.step(label)
        then, now = found.manifest["config"]["encoder"], topics_encoder(self.config)
        wrong = [name for name, value in now.items() if then.get(name) != value]
        if wrong:
            raise UserError(f"fit.base_run: {found.key} was made with {wrong[0]}={then.get(wrong[0])}, this config "
                            f"says {now[wrong[0]]}; leave fit.base_run out to train anew")  # fmt: skip
        self.results[label] = found
        return found
