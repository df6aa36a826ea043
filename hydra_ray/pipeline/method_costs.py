"""What each method of a finished run costs, from its steps' requests and the response cache.

A method is charged for every call that it reads, whichever method has paid for it: the costs are those of running it
alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.dataset as pads

from hydra_ray.core.sampling import Trial
from hydra_ray.llm.calls import samples
from hydra_ray.llm.model_id import model_identity
from hydra_ray.llm.request_columns import requests_from_structs
from hydra_ray.llm.response_cache import ResponseCache
from hydra_ray.llm.types import Request, call_key
from hydra_ray.methods.method import Method, method_named
from hydra_ray.pipeline.job import Pipeline
from hydra_ray.pipeline.lora_serving import with_weights
from hydra_ray.pipeline.model_steps import Variant
from hydra_ray.pipeline.step import StepResult
from hydra_ray.report import AnswerRow
from hydra_ray.report.method_costs import MethodCosts, Usage

NOT_PREPARED = ("synth", "ingest", "summarise", "evaluate", "method")
"""Steps that make the data, or that answer."""
ROWS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class AskedRow:
    """A query of a finished step with what each of its requests took.

    Attributes:
        user_id: Whose.
        query_id: Of the query.
        split: The role in which it was made.
        keys: Of each request, what tells it from others.
        used: By each request.
    """

    user_id: str
    query_id: str
    split: str
    keys: tuple[str, ...]
    used: tuple[Usage, ...]


def asked_rows(folder: Path, ledger: ResponseCache, identity: str) -> Iterator[AskedRow]:
    """The queries of a finished step that asks the LLM. identity: of the model that answered."""
    if not any((folder / "queries").glob("*.parquet")):
        return
    columns = ["user_id", "query_id", "split", "requests"]
    for batch in pads.dataset(folder / "queries", format="parquet").to_batches(
        columns=columns, batch_size=ROWS_AT_ONCE
    ):
        rows = [(row, requests_from_structs(row["requests"])) for row in batch.to_pylist()]
        used = usage_of([request for _, requests in rows for request in requests], ledger, identity)
        for row, requests in rows:
            keys = tuple(call_key(identity, request) for request in requests)
            mine = tuple(next(used) for _ in requests)
            yield AskedRow(row["user_id"], row["query_id"], row["split"], keys, mine)


def usage_of(requests: Sequence[Request], ledger: ResponseCache, identity: str) -> Iterator[Usage]:
    """What each request took: the call for all of its samples, and those for single ones where it gave fewer."""
    whole = [call_key(identity, request, 0, samples(request)) for request in requests]
    kept = ledger.look_up(whole)
    single: dict[int, list[str]] = {}
    for i, (key, request) in enumerate(zip(whole, requests, strict=True)):
        came, wanted = len(kept[key]["texts"]) if key in kept else 0, samples(request)
        if came < wanted and wanted > 1:
            single[i] = [call_key(identity, request, start, 1) for start in range(came, wanted)]
    kept |= ledger.look_up([key for keys in single.values() for key in keys])
    for i, key in enumerate(whole):
        found = [kept[one] for one in (key, *single.get(i, ())) if one in kept]
        yield Usage(
            max(1, len(found)),
            sum(record["prompt_tokens"] for record in found),
            sum(record["completion_tokens"] for record in found),
            0 if found else 1,
        )


def method_costs(job: Pipeline, rows: Sequence[AnswerRow], names: Iterable[str]) -> dict[str, MethodCosts]:
    """The costs of some of a finished run's methods.

    Args:
        job: The run, all of whose steps are done.
        rows: What its methods answered.
        names: Of the methods; each has answered every row.
    """
    ledger = ResponseCache(job.run.ledger_file, job.config.name)
    try:
        costs = _Costs(job, ledger)
        return {name: costs.of(name, rows) for name in names}
    finally:
        ledger.close()


class _Costs:
    """Reads each step once, whatever number of methods it serves."""

    def __init__(self, job: Pipeline, ledger: ResponseCache) -> None:
        self._job, self._ledger = job, ledger
        self._by_key = {result.key: result for result in job.results.values()}
        self._read: dict[Path, list[AskedRow]] = {}
        self._calls: dict[Path, dict[tuple[str, str, str], Usage]] = {}

    def of(self, name: str, rows: Sequence[AnswerRow]) -> MethodCosts:
        job, method = self._job, method_named(name)
        trials = job.config.protocol.trials
        answer, training, new_user, seconds = Usage(), Usage(), Usage(), 0.0
        crossed = job.config.protocol.cross_fitted
        for trial in trials:
            tested = set(job.chosen(trial).test)
            of_trial = [row for row in rows if row.seed == trial.seed and row.user_id in tested]
            answer += self._answers(name, method, trial, of_trial)
            steps = prepared(self._roots(name, method, trial), self._by_key)
            seconds += sum(step.manifest["seconds"] for step in steps)
            # A question's summary is part of its answer's cost, in whatever step the same words were asked.
            summaries = self._rows_of(job.summarise(trial).path) if method.summary else []
            used = self._asked(steps, {key for row in summaries for key in row.keys})
            training += used["train"]
            new_user += used["test"].over(len(tested)) if fits_users(method) else Usage()
        return MethodCosts(
            answer.over(len(rows)),
            training.over(len(trials)),
            None if crossed and fits_users(method) else new_user.over(len(trials)),
            seconds / len(trials),
            self._parameters(name, method, trials[0]),
        )

    def _answers(self, name: str, method: Method, trial: Trial, rows: Sequence[AnswerRow]) -> Usage:
        job = self._job
        step = job.method(trial, name) if name in job.further_methods else job.evaluate(trial)
        calls = self._calls_of(step.path, job.served_weights(trial, name))
        asked = [calls[row.user_id, row.question_id, call] for row in rows for call in row.calls[name]]
        if method.summary:
            summaries = {(row.user_id, row.query_id): row.used for row in self._rows_of(job.summarise(trial).path)}
            asked += [used for row in rows for used in summaries.get((row.user_id, row.question_id), ())]
        return sum(asked, Usage())

    def _roots(self, name: str, method: Method, trial: Trial) -> list[str]:
        """The keys of the steps that a method's answers read of what was learned."""
        job, found = self._job, []
        if name in job.further_methods:
            found += job.method(trial, name).manifest["inputs"].values()
        if "hydra" in method.rerankers:
            found.append(job.fit("reranker", trial).key)
        if "shared" in method.rerankers:
            found.append(job.train("reranker", trial).key)
        if method.adapter == "shared":
            found.append(job.train("adapter", trial).key)
        elif method.adapter:
            found.append(job.fit("adapter", trial, variant_of(method)).key)
        return found

    def _asked(self, steps: Iterable[StepResult], counted: Iterable[str]) -> Mapping[str, Usage]:
        """What the steps asked of the LLM, equal requests once, by the role of the user. counted: keys of requests that
        are counted elsewhere."""
        total: dict[str, Usage] = defaultdict(Usage)
        seen = set(counted)
        for step in steps:
            for row in self._rows_of(step.path):
                for key, used in zip(row.keys, row.used, strict=True):
                    if key not in seen:
                        seen.add(key)
                        total[row.split] += used
        return total

    def _rows_of(self, folder: Path, weights: Path | None = None) -> list[AskedRow]:
        """weights: of what answered in place of the LLM."""
        if folder not in self._read:
            run = self._job.run
            identity = model_identity(with_weights(run.config, weights).llm) if weights else run.identity
            self._read[folder] = list(asked_rows(folder, self._ledger, identity))
        return self._read[folder]

    def _calls_of(self, folder: Path, weights: Path | None) -> dict[tuple[str, str, str], Usage]:
        """(user, question, call) -> what it took."""
        if folder not in self._calls:
            names = pads.dataset(folder / "queries", format="parquet").to_table(["user_id", "query_id", "methods"])
            by_question = {(row["user_id"], row["query_id"]): row["methods"] for row in names.to_pylist()}
            self._calls[folder] = {
                (row.user_id, row.query_id, call): used
                for row in self._rows_of(folder, weights)
                for call, used in zip(by_question[row.user_id, row.query_id], row.used, strict=True)
            }
        return self._calls[folder]

    def _parameters(self, name: str, method: Method, trial: Trial) -> int:
        job, folders = self._job, []
        if "hydra" in method.rerankers:
            folders.append(job.fit("reranker", trial).path)
        if method.adapter not in (None, "shared"):
            folders.append(job.fit("adapter", trial, variant_of(method)).path)
        own = 0
        if method.user_parameters and (trained := job.trained_method(trial, name)):
            own = method.user_parameters(trained.path)
        return own + sum(map(numbers_per_user, folders))


def fits_users(method: Method) -> bool:
    """Whether something is asked to fit a user's own parameters: feedback, or the summary that a user's LoRA is trained
    with."""
    asked = method.reads_own_feedback or (method.summary and method.user_parameters is not None)
    return asked or "hydra" in method.rerankers or method.adapter not in (None, "shared")


def variant_of(method: Method) -> Variant:
    """The variant of the adapter that a method chooses by."""
    return method.adapter if method.adapter in ("paper", "unguarded") else ""


def prepared(roots: Iterable[str], by_key: Mapping[str, StepResult]) -> list[StepResult]:
    """The steps that lead to some steps, those included, as far as they prepare a method: what was asked to learn from,
    what was encoded for it, trained and fitted.

    Args:
        roots: Keys of steps; others than steps' are passed over.
        by_key: The run's finished steps.
    """
    found: dict[str, StepResult] = {}
    left = list(roots)
    while left:
        key = left.pop()
        step = by_key.get(key)
        if step is None or key in found or step.manifest["step"] in NOT_PREPARED:
            continue
        found[key] = step
        left += step.manifest["inputs"].values()
    trained = {step.manifest["step"].removeprefix("train-") for step in found.values()}
    for key, step in by_key.items():
        name, inputs = step.manifest["step"], step.manifest["inputs"]
        if name.removeprefix("encode-") in trained and name.startswith("encode-") and inputs.get("answers") in found:
            found[key] = step
    return list(found.values())


def numbers_per_user(fitted: Path) -> int:
    """Numbers of one user's head in the folder of a fit; 0 for a kind without any."""
    from hydra_ray.store.heads.head_store import HeadStore
    from hydra_ray.training.artifacts.user_heads import FOLDER

    heads: Any = fitted / FOLDER
    return HeadStore.open(str(heads)).spec.size if heads.exists() else 0
