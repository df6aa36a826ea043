"""The main job as a graph of steps. Every stage asks for what it reads, so any of them can be run on its own."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from hydra_ray.core.records import Split
from hydra_ray.data.users import list_users, sample_users
from hydra_ray.errors import UserError
from hydra_ray.llm.tokens import prompt_budget, tokenizer_of
from hydra_ray.models.head_kinds import joint_kind
from hydra_ray.pipeline.context import Run
from hydra_ray.pipeline.groups import Module, evidence_width, write_groups
from hydra_ray.pipeline.makers import EvaluateMaker, GenerateMaker, LabelMaker, SummaryMaker
from hydra_ray.pipeline.rows import ask_black_box
from hydra_ray.pipeline.since import Since
from hydra_ray.pipeline.step import StepResult, fingerprint, step_key

SHARED = "shared"
CODE: dict[Module, int] = {"reranker": 3, "adapter": 4}
"""Version of what training means (see `step_key`)."""
FEATURES = 1
"""Version of what the kept features mean."""
HOW_NOT_WHAT = {
    "max_failures", "checkpoint_s", "checkpoint_steps", "trackers", "workers", "min_workers",
    "activation_checkpointing", "offload",
}  # fmt: skip
"""Keys of `train` that say how it is done: a run that was cut short goes on under others. (Another number of workers
draws other dropout; without dropout the result is the same.)"""


@dataclass(frozen=True)
class Chosen:
    """The users that a seed draws."""

    train: tuple[str, ...]
    test: tuple[str, ...]


class Job:
    """The steps of one run. Each method returns the finished step, doing first what it needs."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.config = run.config
        self.results: dict[str, StepResult] = {}
        self._chosen: dict[int, Chosen] = {}

    def _step(
        self, name: str, code: int, config: Mapping[str, Any], inputs: Mapping[str, str], work: Any, label: str = ""
    ) -> StepResult:
        label = label or name
        if label not in self.results:
            self.results[label] = self.run.step(name, code, config, inputs, work)
        return self.results[label]

    def _dump(self, *sections: str) -> dict[str, Any]:
        whole = self.config.model_dump(mode="json")
        return {section: whole[section] for section in sections}

    @cached_property
    def _plain(self) -> dict[str, Any]:
        """The config as the actors get it."""
        return self.config.model_dump(mode="json")

    @cached_property
    def _task(self) -> dict[str, Any]:
        return self.run.task.model_dump(mode="json")

    def _asks(self) -> dict[str, Any]:
        """What decides the black box's answers besides the prompts' content."""
        llm = self.config.llm
        budget = prompt_budget(llm, self.run.task)
        return {
            "model": self.run.identity,
            "prompt": llm.prompt,
            "prompt_tokens": budget.prompt_tokens,
            "item_tokens": budget.item_tokens,
            "tokenizer": tokenizer_of(llm) or "estimate",
        }

    def synth(self) -> StepResult:
        """The synthetic world as LaMP files."""
        from hydra_ray.synth.write import write_world

        config = self.config.data.synth

        def work(folder: Path) -> dict[str, Any]:
            summary = write_world(config, folder)
            return {"summary": str(summary)}

        return self._step("synth", 2, config.model_dump(mode="json"), {}, work)

    def ingest(self) -> StepResult:
        """User histories as Parquet by bucket."""
        from hydra_ray.data.ingest import ingest
        from hydra_ray.data.sources import data_root, find_sources, remote_checksums
        from hydra_ray.data.summary import summary

        data = self.config.data
        source: Path | str = self.synth().path if data.source == "synthetic" else data_root(data)
        sources = find_sources(data, source, self.run.root)
        local = [file for s in sources if not s.url for file in (s.path, s.outputs) if file is not None]
        base = Path(source).parent if Path(source).is_file() else Path(source)

        def work(folder: Path) -> dict[str, Any]:
            self.run.ray()
            return ingest(self.config, self.run.task, source, folder, self._progress("ingest"))

        dumped = data.model_dump(mode="json", exclude={"root", "synth"})
        inputs = {**fingerprint(local, base), **remote_checksums(sources)}
        known = "ingest" in self.results
        step = self._step("ingest", 4, {**dumped, "task": self._task}, inputs, work)
        if not known:
            for line in summary(step.manifest["counts"], step.path):
                self.run.say(f"ingest: {line}")
        return step

    def _progress(self, name: str) -> Any:
        spoken = [0.0]

        def report(done: int, total: int) -> None:
            share = done / max(1, total)
            if share - spoken[0] >= 0.25 or share >= 1 > spoken[0]:
                spoken[0] = share
                self.run.say(f"{name}: {100 * share:.0f} %")

        return report

    def chosen(self, seed: int) -> Chosen:
        """The users a seed draws; test users without an evaluated question are left out."""
        if seed not in self._chosen:
            ids: dict[Split, list[str]] = {"train": [], "test": []}
            for row in list_users(self.ingest().path).to_pylist():
                if row["split"] == "train" or row["n_questions"]:
                    ids[row["split"]].append(row["user_id"])
            protocol = self.config.protocol
            drawn = sample_users(ids, seed, protocol.train_users, protocol.test_users)
            for split in ("train", "test"):
                if not drawn[split]:
                    raise UserError(
                        f"data: no {split} users with usable records in {self.config.data.root or 'the data'}"
                    )
            self._chosen[seed] = Chosen(tuple(drawn["train"]), tuple(drawn["test"]))
        return self._chosen[seed]

    def _ask(
        self,
        name: str,
        code: int,
        config: dict[str, Any],
        inputs: dict[str, str],
        seed: int,
        make: type,
        args: Any,
        users: tuple[str, ...],
    ) -> StepResult:
        """A step that asks the black box. `args` is called when the step really runs."""
        users_dir = self.ingest().path

        def work(folder: Path) -> dict[str, Any]:
            return ask_black_box(self.run, users_dir, users, make, args(), folder, f"{name} seed {seed}")

        whole = {**config, "task": self._task, "seed": seed, "llm": self._asks(), **self._dump("retrieval")}
        if self.config.retrieval.method == "dense":
            whole["encoder"] = self.config.model.model_dump(include={"encoder", "pooling", "max_tokens", "precision"})
        inputs = {"ingest": self.ingest().key, "users": str(hash_of(users)), **inputs}
        return self._step(name, code, whole, inputs, work, f"{name} seed {seed}")

    def label(self, seed: int) -> StepResult:
        """Reranker feedback of training and test users' own records (never of an evaluated question)."""
        chosen = self.chosen(seed)
        protocol = self.config.protocol
        config = {
            "pseudo_queries": protocol.pseudo_queries,
            "train_questions": protocol.train_questions,
            "history_queries": self.config.reranker.history_queries,
            # Rows of before there was recency are as good for whoever does not read it.
            **({"recency": True} if self.config.reranker.evidence == "score_and_recency" else {}),
        }
        return self._ask("label", 3, config, {}, seed, LabelMaker,
                         lambda: (self._plain, seed, self.run.vector_cache), chosen.train + chosen.test)  # fmt: skip

    def train(self, module: Module, seed: int) -> StepResult:
        """Base and heads of reranker or adapter on the training users, personal and shared."""
        from hydra_ray.train.trainer import train

        if self.since:
            return self._trained_before(module, seed)
        answered = self.label(seed) if module == "reranker" else self.generate(seed)
        kinds = list(dict.fromkeys([joint_kind(self.config.model.head), SHARED]))
        name = f"train-{module}"

        def work(folder: Path) -> dict[str, Any]:
            groups = folder / "groups"
            profiles = folder / "profiles" if "facets" in kinds else None
            counts = write_groups(self.run, module, answered.path, groups, self.ingest().path, profiles)
            if not counts["rows"]:
                raise UserError(f"{name}: no labelled rows to learn from; are there answers and histories at all?")
            self.run.say(f"{name}: {counts['groups']} queries, {counts['rows']} rows, {counts['positive']} positive")
            losses = train(
                self.config,
                kinds,
                groups,
                seed,
                f"{name} seed {seed}",
                self.run.vector_cache,
                profiles,
                module == "reranker",
                evidence_width(self.config, module),
                folder / "scratch",
                folder,
                self.run.say,
            )
            return {**counts, **losses}

        training = self.config.train.model_dump(mode="json", exclude=HOW_NOT_WHAT)
        config = {"model": self._joint_model, "train": training, **self._reading(module), "seed": seed}
        return self._step(name, CODE[module], config, {"answers": answered.key}, work, f"{name} seed {seed}")

    def _reading(self, module: Module) -> dict[str, Any]:
        """How answers become labelled rows."""
        section = self.config.reranker if module == "reranker" else self.config.adapter
        return section.model_dump(mode="json", include={"label", "evidence", "own_candidates"})

    @property
    def _joint_model(self) -> dict[str, Any]:
        """What is trained: the model's config with the kind that its heads are trained as."""
        return {**self._dump("model")["model"], "head": joint_kind(self.config.model.head)}

    @cached_property
    def since(self) -> Since | None:
        """The earlier run whose bases are kept."""
        return Since(self.run.root, self.config.fit.since) if self.config.fit.since else None

    def _trained_before(self, module: Module, seed: int) -> StepResult:
        """The training of the earlier run. Raises UserError if it was of another model."""
        assert self.since is not None
        label = f"train-{module} seed {seed}"
        found = self.since.step(label)
        told = found.manifest["config"]
        then = {"loss": told["train"]["loss"], **told["model"], **{name: told[name] for name in self._reading(module)}}
        now = {"loss": self.config.train.loss, **self._joint_model, **self._reading(module)}
        wrong = [name for name, value in now.items() if then.get(name) != value]
        if wrong:
            raise UserError(f"fit.since: {found.key} was trained with {wrong[0]}={then.get(wrong[0])}, this config "
                            f"says {now[wrong[0]]}; leave fit.since out to train anew")  # fmt: skip
        if label not in self.results:
            self.run.say(f"train-{module}: the base of an earlier run is kept ({found.key})")
        self.results[label] = found
        return found

    def base(self, module: Module, seed: int) -> Path:
        """The trained base that users' heads belong to."""
        return self.train(module, seed).path / joint_kind(self.config.model.head)

    def fit(self, module: Module, seed: int) -> StepResult:
        """Heads of the test users, on their own history, base frozen; of kinds that joint training does not give a
        user, also those of the training users, whose prompts the adapter learns from."""
        from hydra_ray.pipeline.fit import Fit
        from hydra_ray.pipeline.fit_users import fit_users

        answered = self.label(seed) if module == "reranker" else self.generate(seed)
        trained, base = self.train(module, seed), self.base(module, seed)
        both = module == "reranker" and self.fitted_alone
        splits: tuple[Split, ...] = ("train", "test") if both else ("test",)
        name = f"fit-{module}"
        reading = self._reading(module)
        chosen = self.chosen(seed).test + (self.chosen(seed).train if both else ())
        about = {"base": base.name, "splits": splits, "answers": answered.key, "trained": trained.key, **reading}
        features = self.run.root / "cache" / "features" / step_key(f"fit-{module}", FEATURES, about, {})
        previous = self.since.step(f"{name} seed {seed}") if self.since else None
        fit = Fit(self.config, module, self.config.model.head, splits, chosen, answered.path, self.ingest().path, base,
                  self.run.vector_cache, features, previous.path if previous else None)  # fmt: skip

        def work(folder: Path) -> dict[str, Any]:
            return fit_users(self.run, fit, folder)

        config: dict[str, Any] = {"fit": self.config.fit.model_dump(mode="json", exclude={"since"})}
        config |= {"head": self.config.model.head, "loss": self.config.train.loss, **reading}
        inputs = {"answers": answered.key, "base": trained.key, "since": previous.key if previous else ""}
        return self._step(name, 5, config, inputs, work, f"{name} seed {seed}")

    @property
    def fitted_alone(self) -> bool:
        """Whether nobody's head comes from joint training."""
        return self.config.model.head == "facets"

    def generate(self, seed: int) -> StepResult:
        """Adapter candidates: samples after the reranker's examples."""
        trained, fitted = self.train("reranker", seed), self.fit("reranker", seed)
        chosen = self.chosen(seed)
        protocol, adapter = self.config.protocol, self.config.adapter
        config = {
            "pseudo_queries": protocol.pseudo_queries,
            "train_questions": protocol.train_questions,
            "k": self.config.reranker.k,
            **adapter.model_dump(mode="json", exclude={"label", "select", "evidence", "own_candidates"}),
            "support": adapter.records(self.config.retrieval.n),
        }
        inputs = {"base": trained.key, "heads": fitted.key}

        def args() -> tuple[Any, ...]:
            base = self.base("reranker", seed)
            heads = {"train": fitted.path if self.fitted_alone else base, "test": fitted.path}
            return self._plain, seed, self.run.vector_cache, base, heads

        return self._ask("generate", 2, config, inputs, seed, GenerateMaker, args, chosen.train + chosen.test)

    def evaluate(self, seed: int) -> StepResult:
        """Every method's answers to the test users' questions."""
        trained, fitted = self.train("reranker", seed), self.fit("reranker", seed)
        chosen = self.chosen(seed)
        config = {"questions": self.config.protocol.questions}
        summaries = self._ask("summarise", 2, config, {}, seed, SummaryMaker,
                              lambda: (self._plain, seed, self.run.vector_cache), chosen.test)  # fmt: skip

        def args() -> tuple[Any, ...]:
            rerankers = {"hydra": (self.base("reranker", seed), fitted.path), SHARED: (trained.path / SHARED, None)}
            return self._plain, seed, self.run.vector_cache, rerankers, summary_texts(summaries.path)

        sampling = self.config.adapter.model_dump(mode="json", include={"n", "temperature"})
        sampling["support"] = self.config.adapter.records(self.config.retrieval.n)
        config = {**config, "k": self.config.reranker.k, **sampling}
        inputs = {"base": trained.key, "heads": fitted.key, "summaries": summaries.key}
        return self._ask("evaluate", 2, config, inputs, seed, EvaluateMaker, args, chosen.test)


def hash_of(users: tuple[str, ...]) -> str:
    """A short hash of a list of users."""
    return hashlib.blake2b("\0".join(sorted(users)).encode(), digest_size=6).hexdigest()


def summary_texts(folder: Path) -> dict[tuple[str, str], str]:
    """(user, question) -> the first line of the profile summary."""
    if not (folder / "answers").exists():
        return {}
    rows = pq.read_table(folder / "answers", columns=["user_id", "query_id", "texts"]).to_pylist()
    first = {(r["user_id"], r["query_id"]): (r["texts"][0] or [""])[0].strip() for r in rows}
    return {key: text.splitlines()[0] if text else "" for key, text in first.items()}
