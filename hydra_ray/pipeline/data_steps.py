"""The first steps of a run, synthetic world and ingest, and what all steps share: users drawn, the LLM asked."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra_ray.core.sampling import Trial, UserSample, cross_fit, sample_users, shortages
from hydra_ray.core.types import Split
from hydra_ray.data.rankings import ranking_hash
from hydra_ray.data.reader import list_users
from hydra_ray.errors import UserError
from hydra_ray.llm.token_budget import prompt_budget, tokenizer_identity
from hydra_ray.llm.usability import Wanted
from hydra_ray.models.encoder_source import encoder_settings
from hydra_ray.pipeline.llm_rows import Asking, ask_black_box
from hydra_ray.pipeline.once import once
from hydra_ray.pipeline.run_context import RunContext
from hydra_ray.pipeline.step import STEP_VERSIONS, StepResult, fingerprint
from hydra_ray.pipeline.step_settings import hash_of, topics_encoder
from hydra_ray.pipeline.summary_prompts import SUMMARY_TOKENS, SummaryPrompts
from hydra_ray.registries import RETRIEVERS, TASK_KINDS


class DataSteps:
    """The steps that make the data, and how every step is done. Each method returns the finished step."""

    def __init__(self, run: RunContext) -> None:
        self.run = run
        self.config = run.config
        self.results: dict[str, StepResult] = {}
        self.kept: dict[object, object] = {}
        self._chosen: dict[Trial, UserSample] = {}

    def _step(
        self, name: str, config: Mapping[str, Any], inputs: Mapping[str, str], work: Any, label: str = ""
    ) -> StepResult:
        label = label or name
        if label not in self.results:
            self.results[label] = self.run.step(name, STEP_VERSIONS[name], config, inputs, work)
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
        dumped = self.run.task.model_dump(mode="json")
        if (version := TASK_KINDS.version(self.run.task.kind)) > 1:
            dumped["kind_version"] = version
        return dumped

    def _asks(self) -> dict[str, Any]:
        """What decides the black box's answers besides the prompts' content."""
        return {"model": self.run.identity, **self._worded()}

    def _worded(self) -> dict[str, Any]:
        """What decides how prompts are worded, and what of a history has room in them."""
        llm = self.config.llm
        budget = prompt_budget(llm, self.run.task)
        return {
            "prompt": llm.prompt,
            "prompt_tokens": budget.prompt_tokens,
            "item_tokens": budget.item_tokens,
            "tokenizer": tokenizer_identity(llm),
        }

    @once
    def synth(self) -> StepResult:
        """The synthetic world as LaMP files."""
        from hydra_ray.synth.write import write_world

        config = self.config.data.synth

        def work(folder: Path) -> dict[str, Any]:
            for left in folder.glob("*.tmp"):  # by an attempt that was killed
                left.unlink()
            summary = write_world(config, folder)
            return {"summary": str(summary)}

        return self._step("synth", config.model_dump(mode="json"), {}, work)

    @once
    def ingest(self) -> StepResult:
        """User histories as Parquet by bucket."""
        from hydra_ray.data.checks import check_counts, summary
        from hydra_ray.data.ingest import ingest
        from hydra_ray.data.sources.find import data_root, find_sources, remote_checksums

        data = self.config.data
        source: Path | str = self.synth().path if data.source == "synthetic" else data_root(data)
        sources = find_sources(data, source, self.run.root)
        local = [file for s in sources if not s.url for file in (s.path, s.outputs) if file is not None]
        base = Path(source).parent if Path(source).is_file() else Path(source)

        def work(folder: Path) -> dict[str, Any]:
            self.run.ray()
            counts = ingest(self.config, self.run.task, source, folder, self._progress("ingest"))
            try:
                check_counts(counts, data, source, folder)
            except UserError:
                log_counts(counts, folder)
                raise
            return counts

        def log_counts(counts: Mapping[str, Any], folder: Path) -> None:
            for line in summary(counts, folder):
                self.run.log(f"ingest: {line}")

        inputs = {**fingerprint(local, base), **remote_checksums(sources)}
        step = self._step("ingest", {**data.identity(), "task": self._task}, inputs, work)
        log_counts(step.manifest["counts"], step.path)
        check_counts(step.manifest["counts"], data, source, step.path)
        return step

    def _progress(self, name: str) -> Any:
        logged = [0.0]

        def report(done: int, total: int) -> None:
            share = done / max(1, total)
            if share - logged[0] >= 0.25 or share >= 1 > logged[0]:
                logged[0] = share
                self.run.log(f"{name}: {100 * share:.0f} %")

        return report

    def chosen(self, trial: Trial) -> UserSample:
        """The users a trial draws; users to be tested without an evaluated question are left out."""
        if trial not in self._chosen:
            protocol, ids = self.config.protocol, self._users
            if trial.fold is None:
                self._chosen[trial] = sample_users(ids, trial.seed, protocol.train_users, protocol.test_users)
                self._log_shortages(trial)
            else:
                most = (protocol.train_users, protocol.test_users)
                limit = None if None in most else sum(number or 0 for number in most)
                self._chosen[trial] = cross_fit(ids, trial.seed, protocol.folds or 1, trial.fold, limit)
            for split in ("train", "test"):
                if not self._chosen[trial].of(split):
                    where = self.config.data.root or "the data"
                    if trial.fold is None:
                        own = self.config.data.source == "tabular"
                        hint = ": change data.tabular.test_share, or test all users with protocol.folds" if own else ""
                        raise UserError(f"data: no {split} users with usable records in {where}{hint}")
                    found = len(self._chosen[trial].source)
                    raise UserError(f"protocol.folds: {found} users with a question and its gold answer in {where} "
                                    f"cannot be cut into {protocol.folds} folds; give fewer")  # fmt: skip
        return self._chosen[trial]

    def _log_shortages(self, trial: Trial) -> None:
        """Says once that there are fewer users than the configuration asks for, the defaults aside."""
        protocol = self.config.protocol
        given: dict[Split, int | None] = {"train": protocol.train_users, "test": protocol.test_users}
        wanted = {role: most for role, most in given.items() if f"{role}_users" in protocol.model_fields_set}
        if trial.seed == protocol.seeds[0]:
            for line in shortages(self._chosen[trial], wanted):
                self.run.log(line)

    @cached_property
    def _users(self) -> dict[Split, list[str]]:
        """The users that may be drawn, by split of the data. Who is tested needs an evaluated question."""
        ids: dict[Split, list[str]] = {"train": [], "test": []}
        tested = {"train", "test"} if self.config.protocol.cross_fitted else {"test"}
        for row in list_users(self.ingest().path).to_pylist():
            if row["split"] not in tested or row["n_questions"]:
                ids[row["split"]].append(row["user_id"])
        return ids

    def _retrieval(self, methods: Sequence[str]) -> dict[str, Any]:
        """What decides which items are found by these retrievers, the first of which is the run's own.

        Raises UserError: a retriever reads a ranking, and there is none, or it is broken.
        """
        section = self.config.retrieval
        read: dict[str, Any] = {"retrieval": section.identity(methods)}
        if (version := RETRIEVERS.version(methods[0])) > 1:
            read["retriever_version"] = version
        if section.encodes:
            read["encoder"] = encoder_settings(self.config.model)
        further = {name: RETRIEVERS.version(name) for name in (*methods[1:], *section.fuse)}
        if changed := {name: version for name, version in further.items() if version > 1}:
            read["retriever_versions"] = changed
        if not section.encodes and any(section.encodes_for(name) for name in methods):
            read["encoder"] = topics_encoder(self.config)
        if any(section.reads_ranking(name) for name in methods):
            read["ranking"] = ranking_hash(section.ranking)
        return read

    def _ask(
        self,
        name: str,
        config: dict[str, Any],
        inputs: dict[str, str],
        trial: Trial,
        make: type,
        args: Any,
        users: Asking,
        stage: str = "",
        retrievers: Sequence[str] = (),
        part: str = "",
        weights: Path | None = None,
    ) -> StepResult:
        """A step that asks the black box. `args` is called when the step really runs. stage: what it is called in
        messages and in the report, if not by its name. retrievers: those that it uses besides the run's own. part: of
        the trial's users, " part 1". weights: of what answers in place of the black box."""
        users_dir, label = self.ingest().path, f"{stage or name} {trial}{part}"

        def work(folder: Path) -> dict[str, Any]:
            task = self.run.task
            self.run.check_before_paying()
            free = issubclass(make, SummaryPrompts)
            wanted = Wanted(label, None, SUMMARY_TOKENS) if free else Wanted(label, task, task.max_answer_tokens)
            return ask_black_box(self.run, users_dir, users, make, args(), folder, wanted, weights)

        whole = {**config, "task": self._task, "seed": trial.seed, "llm": self._asks()}
        whole |= self._retrieval((self.config.retrieval.method, *retrievers))
        inputs = {"ingest": self.ingest().key, "users": hash_of(users), **inputs}
        return self._step(name, whole, inputs, work, label)
