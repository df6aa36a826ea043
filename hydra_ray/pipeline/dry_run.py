"""What a run would do, found out by opening everything that it reads: data, task, encoder, trackers, endpoint."""

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hydra_ray.cluster import AUTO, LOCAL, find_cluster
from hydra_ray.config import Config
from hydra_ray.core.answers.parse import parse_answer
from hydra_ray.core.sampling import Trial
from hydra_ray.data.checks import summary
from hydra_ray.data.ingest import ingest_in_process
from hydra_ray.data.reader import read_users
from hydra_ray.data.sources.find import data_root
from hydra_ray.errors import UserError
from hydra_ray.llm.client import LLMClient
from hydra_ray.llm.response_cache import Counts, ResponseCache
from hydra_ray.llm.token_budget import prompt_budget, tokenizer_of
from hydra_ray.llm.types import Request
from hydra_ray.llm.usability import SHOWN, Wanted
from hydra_ray.methods.method import method_named
from hydra_ray.pipeline.cost_bounds import CostBound, bounds, first_request
from hydra_ray.pipeline.job import Pipeline
from hydra_ray.pipeline.run_context import RunContext
from hydra_ray.pipeline.step import StepResult

NO_PRICES = "unknown"


class _Look(Pipeline):
    """A job whose data were read into a folder of the dry run's own."""

    def __init__(self, run: RunContext, data: Path) -> None:
        super().__init__(run)
        self._data = StepResult(data, {}, True)

    def ingest(self) -> StepResult:
        return self._data


def dry_run(
    config: Config, stage: str = "run", *, offline: bool = False, left_out: Mapping[str, str] | None = None
) -> str:
    """Opens what the stage would read and says what it would do, as lines; nothing is kept.

    Args:
        config: Of the run.
        stage: The command.
        offline: The endpoint is not called.
        left_out: Methods of a comparison that cannot run -> why.

    Raises:
        UserError: For whatever would stop the stage.
    """
    with tempfile.TemporaryDirectory(prefix="hydra-ray-dry-run-") as scratch, RunContext(config, stage) as run:
        run.check_local()
        task = run.task
        kind = f"{task.kind}, {task.primary_metric}"
        labels = f", {len(task.labels)} labels" if task.labels else ""
        lines = [("task", f"{task.name} ({kind}{labels}), answers of at most {task.max_answer_tokens} tokens")]
        job = _Look(run, Path(scratch) / "data")
        lines += [("data", line) for line in _data(config, run, Path(scratch))]
        lines.append(("ray", _cluster(run)))
        if stage != "ingest":
            lines += _asking(config, run, job, Path(scratch), offline)
        lines += [("methods", line) for line in _left_out(left_out or {})]
        lines.append(("results", str(run.folder)))
    return "\n".join(f"{name:<11} {line}" for name, line in lines)


def _data(config: Config, run: RunContext, scratch: Path) -> list[str]:
    """Reads the data as the ingest does; what is usable and what is not."""
    if config.data.source == "synthetic":
        from hydra_ray.synth.write import write_world

        source: Path | str = scratch / "world"
        write_world(config.data.synth, scratch / "world")
        name = "a synthetic world"
    else:
        source, name = data_root(config.data), str(config.data.root)
    counts = ingest_in_process(config, run.task, source, scratch / "data")
    # What was rejected is not kept here; the ingest writes it down.
    return [name, *(line for line in summary(counts, scratch / "data") if str(scratch) not in line)]


def _left_out(methods: Mapping[str, str]) -> list[str]:
    """One line for each reason."""
    named: dict[str, list[str]] = {}
    for name, why in methods.items():
        named.setdefault(why, []).append(name)
    return [f"left out: {', '.join(names)}: {why}" for why, names in named.items()]


def _unscored(job: Pipeline, trials: Iterable[Trial]) -> list[str]:
    """A line where questions of the users to be tested have no gold answer."""
    users = {user for trial in trials for user in job.chosen(trial).test}
    golds = [q.gold is not None for user in read_users(job.ingest().path, user_ids=users) for q in user.questions]
    if all(golds):
        return []
    none = f"{golds.count(False):,} of the {len(golds):,} questions"
    return [f"{none} of the users to test have no gold answer: they are answered, not scored"]


def _cluster(run: RunContext) -> str:
    address = run.config.ray.address
    if address == LOCAL:
        return f"a local cluster that counts {run.local_cpus} CPUs"
    return f"the cluster at {find_cluster(address)}" + (" (auto)" if address == AUTO else "")


def _asking(config: Config, run: RunContext, job: Pipeline, scratch: Path, offline: bool) -> list[tuple[str, str]]:
    from hydra_ray.models.encoder import check_encoder
    from hydra_ray.training.joint.trackers import check_trackers

    llm, trials = config.llm, config.protocol.trials
    users = [job.chosen(trial) for trial in trials]
    sizes = ", ".join(sorted({f"{len(chosen.train)} to train on, {len(chosen.test)} to test" for chosen in users}))
    check_trackers(config.train.trackers)
    budget = prompt_budget(llm, run.task)
    counted = tokenizer_of(llm) or "a cautious estimate"
    lines = [
        ("users", f"{sizes}; {len(trials)} training(s), seeds {', '.join(map(str, config.protocol.seeds))}"),
        *(("users", line) for line in _unscored(job, trials)),
        ("encoder", check_encoder(config.model)),
        ("trackers", ", ".join(("metrics-*.jsonl", *config.train.trackers))),
        ("prompts", f"at most {budget.prompt_tokens:,} tokens, as counted by {counted}"),
    ]
    answer_lines, one_by_one = _endpoint(config, run, job, scratch, offline)
    lines += [("LLM", line) for line in answer_lines]
    found, whole = bounds(job, budget, one_by_one)
    lines += [("LLM calls", line) for line in bound_table(config, found, whole)]
    lines += [("budget", line) for line in budget_lines(config, sum(found.values(), CostBound()), _used(run))]
    return lines


def _endpoint(config: Config, run: RunContext, job: Pipeline, scratch: Path, offline: bool) -> tuple[list[str], bool]:
    """What the black box is and answers, and whether it gives samples one by one, one call each."""
    llm = config.llm
    if llm.in_process:
        return [f"{run.identity}, which each worker of resources.ask loads (not loaded here)"], False
    if llm.base_url is None:
        from hydra_ray.llm.vllm_app import engine_variables, require_vllm

        require_vllm()
        engine_variables(llm, run.config.resources.llm)
        lines = [f"{run.identity}, which the run itself serves with vLLM (not started here)"]
        trained = [name for name in job.further_methods if method_named(name).serves_weights]
        if trained:
            lines.append(f"in each seed and fold vLLM is started again with the weights of {', '.join(trained)}")
        return lines, False
    where = f"{llm.model} at {llm.base_url}"
    request = first_request(job)
    if offline or request is None:
        why = "--offline" if offline else "nothing to ask"
        return [f"{where} (not called: {why})"], llm.supports_n is not True
    samples = 1 if llm.supports_n is not None else min(2, config.adapter.num_samples)
    shown, one_by_one = ask_once(config, run, request, samples, scratch)
    return [where, *shown], llm.supports_n is False or one_by_one


def ask_once(config: Config, run: RunContext, request: Request, samples: int, scratch: Path) -> tuple[list[str], bool]:
    """Asks the endpoint the run's first prompt; the end of the prompt and the answer as lines, and whether the server
    gives one sample a call. Nothing is cached. Raises UserError if there is no answer."""
    llm = config.llm.model_copy(update={"retries": min(1, config.llm.retries)})
    temperature = config.adapter.temperature if samples > 1 else request.temperature
    trial = Request(request.messages, temperature, samples, request.max_tokens, None, request.fallbacks)
    ledger = ResponseCache(scratch / "llm.sqlite", "dry-run")
    client = LLMClient(llm, ledger, concurrency=1)
    try:
        (answer,) = client.complete_sync([trial])
        one_by_one = client.one_by_one
    finally:
        client.close_sync()
        ledger.close()
    if answer.error is not None:
        raise UserError(f"llm.base_url={llm.base_url}: no answer to the first prompt: {answer.error}")
    wanted = Wanted("dry run", run.task, request.max_tokens)
    fault = wanted.fault(answer.texts[0], answer.finish[0])
    reads = f"which is of no use ({fault})" if fault else f"read as {_short(parse_answer(run.task, answer.texts[0]))}"
    tokens = f"{answer.prompt_tokens} tokens in, {answer.completion_tokens} out"
    return [
        f"asked: {_short(request.messages[-1]['content'], end=True)}",
        f"answered: {_short(answer.texts[0])}, {reads}; {tokens}",
    ], one_by_one


def _short(text: str, end: bool = False) -> str:
    cut = text if len(text) <= SHOWN else "…" + text[1 - SHOWN :] if end else text[: SHOWN - 1] + "…"
    return json.dumps(cut, ensure_ascii=False)


def _used(run: RunContext) -> Counts:
    """What the run has used before."""
    if not run.ledger_file.exists():
        return Counts()
    ledger = ResponseCache(run.ledger_file, run.config.name)
    try:
        return ledger.counts()
    finally:
        ledger.close()


def cost_of(config: Config, bound: CostBound) -> float | None:
    """At the configured prices; None where there are none."""
    llm = config.llm
    if not llm.priced:
        return None
    return (bound.prompt_tokens * llm.price_prompt + bound.completion_tokens * llm.price_completion) / 1e6


def bound_table(config: Config, found: dict[str, CostBound], whole: bool) -> list[str]:
    """Calls, tokens and cost per stage, one line each."""
    about = "at most" if whole else "about at most (estimated from some of the users)"
    table = [("", "calls", "prompt tokens", "answer tokens", "cost")]
    for name, bound in [*found.items(), ("all", sum(found.values(), CostBound()))]:
        cost = cost_of(config, bound)
        numbers: list[Any] = [bound.calls, bound.prompt_tokens, bound.completion_tokens]
        shown = (f"{round(number):,}" for number in numbers)
        table.append((name, *shown, NO_PRICES if cost is None else f"{cost:.4g}"))  # type: ignore[arg-type]
    widths = [max(len(row[i]) for row in table) for i in range(5)]
    rows = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in table]
    notes = [] if config.llm.priced else ["cost: unknown, as llm.price_prompt and llm.price_completion are not set"]
    return [f"{about}, without retries, less what the response cache holds:", *rows, *notes]


def budget_lines(config: Config, all_stages: CostBound, used: Counts) -> list[str]:
    """How the bound compares with `llm.max_calls` and `llm.max_cost`, what the run has used before included."""
    lines = []
    llm, cost = config.llm, cost_of(config, all_stages)
    limits = [("llm.max_calls", llm.max_calls, used.calls + used.lost, all_stages.calls)]
    if cost is not None:
        limits.append(("llm.max_cost", llm.max_cost, used.cost, cost))  # type: ignore[arg-type]
    for key, limit, before, bound in limits:
        if limit is None:
            lines.append(f"{key} is not set: nothing stops the run before its end")
        elif before + bound > limit:
            lines.append(f"{key}={limit} may not be enough: {before:,.6g} used and {bound:,.6g} to come at most; what "
                         "is answered by then is kept")  # fmt: skip
        else:
            lines.append(f"{key}={limit} is enough: {before:,.6g} used and {bound:,.6g} to come at most")
    return lines
