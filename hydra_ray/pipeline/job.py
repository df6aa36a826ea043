"""The main job as a graph of steps, ending in the answers of all methods. Any of them can be run on its own."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hydra_ray.core.sampling import Part, Trial, parts_of
from hydra_ray.llm.lora import name_base
from hydra_ray.methods.method import Method, method_named
from hydra_ray.methods.question import Reranker
from hydra_ray.pipeline.eval_prompts import EvalPrompts, TrainingPrompts
from hydra_ray.pipeline.hydra_steps import HydraSteps
from hydra_ray.pipeline.llm_rows import Asking
from hydra_ray.pipeline.method_training import TrainingRun
from hydra_ray.pipeline.once import once
from hydra_ray.pipeline.run_context import RunContext
from hydra_ray.pipeline.stage_prompts import OraclePrompts
from hydra_ray.pipeline.step import StepResult
from hydra_ray.pipeline.step_settings import (
    SHARED,
    asking,
    everyone,
    hash_of,
    method_stage,
    summary_texts,
    trained_on,
    training_stage,
)
from hydra_ray.pipeline.summary_prompts import SummaryPrompts, UserSummaryPrompts
from hydra_ray.registries import METHODS


def trained_keys(trained: Mapping[str, StepResult]) -> dict[str, str]:
    """What methods have learned, by their names, as inputs of a step."""
    return {f"trained-{name}": step.key for name, step in trained.items()}


class Pipeline(HydraSteps):
    """The steps of one run. Each method returns the finished step, doing first what it needs.

    Attributes:
        left_out: Of `evaluate.methods`, those that are not shown after all.
    """

    def __init__(self, run: RunContext) -> None:
        super().__init__(run)
        self.left_out: set[str] = set()

    @once
    def summarise(self, trial: Trial) -> StepResult:
        """The profile summaries of the users' questions; all folds of a seed share them."""
        return self._ask_questions("summarise", trial, SummaryPrompts)

    @once
    def summarise_users(self, trial: Trial) -> StepResult:
        """One profile summary for each user to train on and to test; all folds of a seed share them."""
        users, seed = everyone(self.chosen(trial)), trial.seed
        return self._ask("summarise-users", {}, {}, Trial(seed), UserSummaryPrompts,
                         lambda: (self._plain, seed, self.run.embedding_store), users)  # fmt: skip

    @once
    def evaluate(self, trial: Trial) -> StepResult:
        """The answers of the methods that a run always shows to the test users' questions."""
        return self._answer(trial, always_shown())

    @property
    def further_methods(self) -> tuple[str, ...]:
        """The methods that are shown because `evaluate.methods` names them, less those that are left out.

        Those that bring weights of their own come last: each change of weights is another start of the server.
        """
        skipped = (*always_shown(), *self.left_out)
        names = (name for name in dict.fromkeys(self.config.evaluate.methods) if name not in skipped)
        return tuple(sorted(names, key=lambda name: method_named(name).serves_weights is not None))

    @once
    def method(self, trial: Trial, name: str) -> StepResult:
        """The answers of one of `further_methods`: a step of its own, so that no other is repeated for it."""
        return self._answer(trial, (name,), alone=True)

    def trained_method(self, trial: Trial, name: str, part: Part | None = None) -> StepResult | None:
        """What one of `further_methods` learns from the training users; None: it learns nothing.

        part: learns from the training users outside it."""
        method, users = method_named(name), self.chosen(trial) if part is None else part.others
        if method.train is None:
            return None
        train, feedback = method.train, self.label(trial) if method.reads_feedback else None
        asked = self.asked_training(trial, name) if method.asks else ()
        summarised = self.summarise_users(trial) if method.summary else None
        learned = method.trained_as or name
        config = {"method": learned, "version": METHODS.version(name), "task": self._task, "seed": trial.seed}
        config["prompts"] = self._worded()
        config |= method.train_reads(self.config) if method.train_reads else {}
        inputs = {"ingest": self.ingest().key, "users": hash_of(asking(users))}
        inputs |= {"feedback": feedback.key} if feedback else {}
        inputs |= {"summaries": summarised.key} if summarised else {}
        inputs |= {f"asked-{i}": step.key for i, step in enumerate(asked)}
        others = {} if method.asks else self._built_on(trial, method, part)
        inputs |= trained_keys(others)

        def work(folder: Path) -> dict[str, Any]:
            labelled, answers = feedback.path if feedback else None, [step.path for step in asked]
            learned_by = {other: step.path for other, step in others.items()}
            summaries = summary_texts(summarised.path) if summarised else {}
            train(TrainingRun(self.run, trial, folder, self.ingest().path, users, labelled, answers, learned_by,
                              summaries))  # fmt: skip
            return {}

        label = f"train-{method_stage(learned)} {trial}" + (f" part {part.number}" if part else "")
        return self._step("train-method", config, inputs, work, label)

    def served_weights(self, trial: Trial, name: str) -> Path | None:
        """The folder of the weights that answer for a method; None: the LLM answers as it is."""
        served = method_named(name).serves_weights
        own = self.trained_method(trial, name) if served else None
        return served(own.path) if served and own else None

    def _built_on(self, trial: Trial, method: Method, part: Part | None = None) -> dict[str, StepResult]:
        """What the methods have learned that a method builds on. part: see `trained_method`."""
        names = method.builds_on(self.config)
        return {name: step for name in names if (step := self.trained_method(trial, name, part))}

    def asked_training(self, trial: Trial, name: str) -> tuple[StepResult, ...]:
        """What the LLM answers to the training users' queries for a method (`Method.asks`).

        All folds of a seed share it, unless the calls read what other methods have learned: then it is asked part by
        part of the training users, with what those methods learn from the others.
        """
        method, chosen = method_named(name), self.chosen(trial)
        if not method.builds_on(self.config):
            return (self._ask_training(Trial(trial.seed), name, trained_on(chosen)),)
        found = []
        for part in parts_of(chosen):
            others = self._built_on(trial, method, part)
            users_of_part: Asking = {user: (chosen.source[user], "train") for user in part.users}
            found.append(self._ask_training(trial, name, users_of_part, others, f" part {part.number}"))
        return tuple(found)

    def _ask_training(
        self,
        trial: Trial,
        name: str,
        users: Asking,
        others: Mapping[str, StepResult] = MappingProxyType({}),
        part: str = "",
    ) -> StepResult:
        """users: training users. others: what was learned without them."""
        asks, protocol = method_named(name).asks, self.config.protocol
        assert asks is not None
        config = {"calls": asks.name, "pseudo_queries": protocol.pseudo_queries, **asks.reads(self.config)}
        config["train_questions"] = protocol.train_questions
        inputs = trained_keys(others)

        def args() -> tuple[Any, ...]:
            folders = {other: step.path for other, step in others.items()}
            return self._plain, trial.seed, self.run.embedding_store, name, folders

        stage, retrievers = training_stage(asks.name), asks.retrievers(self.config)
        return self._ask("ask-training", config, inputs, trial, TrainingPrompts, args, users, stage, retrievers, part)

    def _answer(self, trial: Trial, names: tuple[str, ...], *, alone: bool = False) -> StepResult:
        """The answers of some methods. alone: it is one that a run does not show unasked."""
        methods = [method_named(name) for name in names]
        own = self.trained_method(trial, names[0]) if alone else None
        others = self._built_on(trial, methods[0]) if alone else {}
        learned = any(method.rerankers or method.adapter for method in methods)
        inputs: dict[str, str] = {"trained": own.key} if own else {}
        inputs |= trained_keys(others)
        if learned:
            trained, fitted, topics = self.train("reranker", trial), self.fit("reranker", trial), self.topics(trial)
            inputs |= {"base": trained.key, "heads": fitted.key, **({"topics": topics.key} if topics else {})}
        if any(method.summary for method in methods):
            inputs["summaries"] = self.summarise(trial).key

        def args() -> tuple[Any, ...]:
            if methods[0].serves_lora:
                for step in filter(None, (own, *others.values())):
                    name_base(step.path, self.config.llm.serve.source)
            wanted = {reranker for method in methods for reranker in method.rerankers}
            rerankers: dict[Reranker, tuple[Path, Path | None]] = {}
            if "hydra" in wanted:
                rerankers["hydra"] = self.base("reranker", trial), fitted.path
            if "shared" in wanted:
                rerankers["shared"] = trained.path / SHARED, None
            texts = summary_texts(self.summarise(trial).path) if "summaries" in inputs else {}
            read = topics.path if learned and topics else None
            here, there = own.path if own else None, {other: step.path for other, step in others.items()}
            return self._plain, trial.seed, self.run.embedding_store, names, rerankers, texts, read, here, there

        fields = {"num_samples", "temperature", "history_similarity"}
        sampling = self.config.adapter.model_dump(mode="json", include=fields)
        sampling["feature_items"] = self.config.adapter.items_retrieved(self.config.retrieval.top_n)
        config = {"questions": self.config.protocol.questions, "top_k": self.config.reranker.top_k, **sampling}
        if not alone:
            return self._ask("evaluate", config, inputs, trial, EvalPrompts, args, self._tested(trial))
        (name,) = names
        config |= {"method": name, "version": METHODS.version(name)}
        of_fold = learned or own is not None
        users = self._tested(trial) if of_fold else self._all_tested(trial)
        trial = trial if of_fold else Trial(trial.seed)
        stage, retrievers = method_stage(name), methods[0].retrievers
        weights = self.served_weights(trial, name)
        return self._ask("method", config, inputs, trial, EvalPrompts, args, users, stage, retrievers, weights=weights)

    @once
    def oracles(self, trial: Trial) -> StepResult:
        """Answers to the evaluated questions after each retrieved record alone."""
        return self._ask_questions("oracles", trial, OraclePrompts)

    def _tested(self, trial: Trial) -> Asking:
        """The users that a trial tests."""
        return {user_id: roles for user_id, roles in asking(self.chosen(trial)).items() if roles[1] == "test"}

    def _ask_questions(self, name: str, trial: Trial, make: type) -> StepResult:
        """A step that asks the evaluated questions and reads no training: all folds of a seed share it."""
        config = {"questions": self.config.protocol.questions}
        return self._ask(name, config, {}, Trial(trial.seed), make,
                         lambda: (self._plain, trial.seed, self.run.embedding_store),
                         self._all_tested(trial))  # fmt: skip

    def _all_tested(self, trial: Trial) -> Asking:
        """The users that a trial's seed tests, in all its folds."""
        users = asking(self.chosen(trial)) if self.chosen(trial).crossed else self._tested(trial)
        return {user_id: (source, "test") for user_id, (source, _) in users.items()}


def always_shown() -> tuple[str, ...]:
    """The methods that every run compares."""
    return tuple(name for name in METHODS.builtin if method_named(name).always)
