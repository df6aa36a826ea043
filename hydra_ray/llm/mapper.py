"""The client inside a Ray Data pipeline: rows with requests in, the same rows with their answers out, resumable. Few
requests are sent without one, by the process that calls.
"""

import contextlib
import math
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.data.checkpoint import CheckpointConfig
from ray.data.expressions import col

from hydra_ray import env
from hydra_ray.config import Config, LLMConfig
from hydra_ray.config.resources import Placement, ray_options, worker_range
from hydra_ray.errors import UnfinishedError, UserError
from hydra_ray.llm.access import credentials
from hydra_ray.llm.answer_files import COUNT_COLUMN, ID_COLUMN, AnswerFiles, absolute, expected_calls, tables
from hydra_ray.llm.batches import Batches
from hydra_ray.llm.client import LLMClient
from hydra_ray.llm.model_id import model_identity
from hydra_ray.llm.progress import PlainProgress, WaitLines
from hydra_ray.llm.request_columns import requests_from_structs
from hydra_ray.llm.response_cache_actor import run_response_cache
from hydra_ray.llm.response_cache_ports import ActorPort
from hydra_ray.llm.types import Completion
from hydra_ray.llm.usability import Wanted
from hydra_ray.utils.ray_data import actor_pool, alive_nodes, read_parquet
from hydra_ray.utils.ray_errors import unwrap_user_errors

REQUESTS_COLUMN = "requests"
ANSWER_SCHEMA = pa.schema(
    [
        ("texts", pa.list_(pa.list_(pa.string()))),
        ("finish", pa.list_(pa.list_(pa.string()))),
        ("errors", pa.list_(pa.string())),
        ("degraded", pa.int64()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("cached", pa.int64()),
    ]
)
# Requests in a batch for each one in flight: the slots that run dry at a batch's end are then a few per cent of all.
BATCH_DEPTH = 16
CHECKPOINT_ACTOR_BYTES = 192 * 2**20
FEW = 2_000
"""Requests that the run's own process sends (`ResourcesConfig.few_in_driver`)."""
LOST_REASONS = 3
LOST_SHOWN = 120
"""Characters of a reason."""


class LLMMapper:
    """The callable for `map_batches` (`batch_format="pyarrow"`): appends the columns of ANSWER_SCHEMA.

    Rows need `requests`, in `hydra_ray.llm.request_columns.REQUESTS_TYPE`; the column is not passed on. Rows of which a
    request has no final answer (the budget is used up, the server refuses every request, all retries have failed) are
    dropped, so that no checkpoint takes them for done; the ledger actor learns why, and after a UserError other than
    the budget's nothing more is asked.
    """

    def __init__(
        self,
        cfg: LLMConfig,
        ledger: Any,
        base_url: str | None,
        identity: str,
        concurrency: int,
        key: env.Secret,
        wanted: Wanted | None = None,
        own: Placement | None = None,
    ) -> None:
        """wanted: nothing more is asked once too many answers are not that; None: whatever comes is taken. own: what
        this worker may use, if it holds the LLM itself."""
        self._cfg, self._ledger, self._own, self._wanted = cfg, ledger, own, wanted
        self._asking: dict[str, Any] = {
            "base_url": base_url, "identity": identity, "concurrency": concurrency, "key": key
        }  # fmt: skip

    @cached_property
    def _batches(self) -> Batches:
        """Made at the first call: a UserError of a constructor would not reach the driver."""
        endpoint = None
        if self._own is not None:
            from hydra_ray.llm.seq2seq.endpoint import Seq2SeqEndpoint

            endpoint = Seq2SeqEndpoint(self._cfg, self._own)
        client = LLMClient(self._cfg, ActorPort(self._ledger), endpoint=endpoint, **self._asking)
        return Batches(client, self._wanted)

    def close(self) -> None:
        """Closes its connections, if it has any."""
        batches = self.__dict__.pop("_batches", None)
        if batches is not None:
            batches.close()

    def __del__(self) -> None:
        """Ray Data lets go of a worker's callable before the worker ends. Not where the interpreter ends first, as in a
        worker whose node has gone: its threads stand still then, and the loop would never answer."""
        if not sys.is_finalizing():
            self.close()

    def __call__(self, batch: pa.Table) -> pa.Table:
        requests = [requests_from_structs(structs) for structs in batch[REQUESTS_COLUMN].to_pylist()]
        flat = [request for row in requests for request in row]
        answers, failure = self._batches.ask(flat)
        if failure is not None:
            ray.get(self._ledger.stopped.remote(failure))
        lost = Counter(answer.error for answer in answers if answer is not None and is_lost(answer))
        if lost:
            ray.get(self._ledger.lose.remote(lost))
        rows = list(by_row(answers, [len(row) for row in requests]))
        kept = batch.drop_columns([REQUESTS_COLUMN]).filter(pa.array([row is not None for row in rows], pa.bool_()))
        return append_answers(kept, [row for row in rows if row is not None])


def is_lost(answer: Completion) -> bool:
    """Whether texts are missing for a reason that may pass."""
    return answer.error is not None and not answer.permanent


def by_row(answers: Sequence[Completion | None], counts: Sequence[int]) -> Iterator[list[Completion] | None]:
    """Answers of each row in turn, None for a row that lacks one or lost one. counts: requests of each row."""
    at = 0
    for count in counts:
        row = [answer for answer in answers[at : at + count] if answer is not None and not is_lost(answer)]
        yield row if len(row) == count else None
        at += count


def append_answers(batch: pa.Table, rows: Sequence[Sequence[Completion]]) -> pa.Table:
    """The batch with the columns of ANSWER_SCHEMA: texts, how each ended and errors by request, tokens of what was paid
    for now."""
    paid = [[answer for answer in row if not answer.cached] for row in rows]
    columns = {
        "texts": [[answer.texts for answer in row] for row in rows],
        "finish": [[answer.finish for answer in row] for row in rows],
        "errors": [[answer.error for answer in row] for row in rows],
        "degraded": [sum(answer.degraded for answer in row) for row in rows],
        "prompt_tokens": [sum(answer.prompt_tokens for answer in row) for row in paid],
        "completion_tokens": [sum(answer.completion_tokens for answer in row) for row in paid],
        "cached": [sum(answer.cached for answer in row) for row in rows],
    }
    for field in ANSWER_SCHEMA:
        batch = batch.append_column(field, pa.array(columns[field.name], field.type))
    return batch


def run_llm_stage(
    source: str | Path,
    cfg: Config,
    checkpoint_path: str | Path,
    *,
    keep: Sequence[str] = (),
    base_url: str | None = None,
    ledger: Any = None,
    label: str = "llm",
    wanted: Wanted | None = None,
) -> str:
    """Answers every row of a folder of Parquet files and returns the folder of the answered rows, each exactly once.

    source: rows with a unique `row_id`, `requests` (see LLMMapper) and their number `n_requests`; rows without requests
    are left out. keep: other columns that pass through. checkpoint_path: this stage's own folder, on storage that every
    node sees; a run that was killed is resumed by calling this again with the same rows. base_url: of the served model,
    default `llm.base_url`; none where the workers hold the LLM themselves. ledger: default, the run's own actor. label:
    in progress lines and errors. wanted: what the answers must be (None: whatever comes is taken).

    Raises BudgetReachedError when everything the budget allows is answered and written, UnfinishedError when answers
    were lost that may come next time, UselessAnswersError when too many of the first or of a batch are of no use,
    UserError where nothing more would be answered, ValueError if ids are not unique.
    """
    files = AnswerFiles(checkpoint_path)
    ledger = ledger if ledger is not None else run_response_cache(cfg)
    url = base_url or cfg.llm.base_url
    own = cfg.resources.ask if cfg.llm.in_process and url is None else None
    if url is None and own is None:
        raise UserError("llm.base_url: not set and no model is served: give the address of a chat server")
    asking_workers = cfg.resources.ask
    expected = expected_calls(str(source))
    alone = own is None and sum(expected.values()) <= FEW and cfg.resources.in_driver(asking_workers)
    if alone:
        files.discard_uncommitted()  # Ray Data does so by itself
    pool = (1, 1) if alone else worker_range(asking_workers, alive_nodes)
    concurrency = math.ceil(cfg.llm.concurrency / pool[1])
    done = files.done_ids()
    left = {row_id: count for row_id, count in expected.items() if row_id not in done}
    requests = sum(left.values())
    columns = [ID_COLUMN, *(name for name in keep if name != ID_COLUMN), REQUESTS_COLUMN]
    mapper = (cfg.llm, ledger, url, model_identity(cfg.llm), concurrency, credentials(cfg.llm), wanted, own)
    ray.get(ledger.begin.remote())
    if left:
        # In rows: enough requests to keep every slot busy, but work for every actor.
        full = math.ceil(BATCH_DEPTH * concurrency * len(left) / requests)
        batch = min(full, math.ceil(len(left) / pool[1]))
        with _progress(label, requests, ledger, alone), WaitLines(label, lambda: ray.get(ledger.waited.remote())):
            if alone:
                _ask_alone(LLMMapper(*mapper), str(source), columns, batch, left, files)
            else:
                _ask_on_workers(mapper, str(source), columns, batch, pool, asking_workers, files)
    if files.missing_rows(expected):
        with unwrap_user_errors():
            ray.get(ledger.check.remote())
        lost = lost_error(label, ray.get(ledger.lost.remote()), requests)
        raise lost or RuntimeError(f"{files.output} lacks some of {len(expected)} rows: run again")
    return files.output


def _ask_on_workers(
    mapper: tuple[Any, ...],
    source: str,
    columns: list[str],
    batch: int,
    pool: tuple[int, int],
    workers: Placement,
    files: AnswerFiles,
) -> None:
    """Answers the rows that are left on Ray Data's actors. mapper: the arguments of LLMMapper. batch: in rows."""
    pipeline = read_parquet(source)
    _configure(pipeline.context, files.done)
    asking = pipeline.filter(expr=col(COUNT_COLUMN) > 0).select_columns(columns)
    asking.repartition(target_num_rows_per_block=batch).map_batches(
        LLMMapper,
        fn_constructor_args=mapper,
        batch_size=batch,
        batch_format="pyarrow",
        zero_copy_batch=True,
        compute=actor_pool(pool),
        **ray_options(workers),
    ).write_parquet(files.output)


def _ask_alone(
    mapper: LLMMapper, source: str, columns: list[str], batch: int, left: Collection[str], files: AnswerFiles
) -> None:
    """Answers the rows that are left in this process, so many at a time."""
    ids = pa.array(left, pa.string())
    rows = pa.concat_tables(table.filter(pc.is_in(table[ID_COLUMN], ids)) for table in tables(source, columns))
    try:
        for start in range(0, rows.num_rows, batch):
            answered = mapper(rows.slice(start, batch))
            if answered.num_rows:
                files.write(answered)
    finally:
        mapper.close()


def _configure(context: Any, done: str) -> None:
    """Checkpointing for this pipeline alone; progress bars only where there is a terminal."""
    checkpoint = CheckpointConfig(
        id_column=ID_COLUMN, checkpoint_path=absolute(done), delete_checkpoint_on_success=False
    )
    checkpoint.checkpoint_actor_memory_bytes = CHECKPOINT_ACTOR_BYTES
    context.checkpoint_config = checkpoint
    context.enable_progress_bars = sys.stderr.isatty()


def _progress(label: str, total: int, ledger: Any, alone: bool) -> contextlib.AbstractContextManager[Any]:
    """Plain lines where there are no bars: Ray Data's are, on a terminal."""
    if sys.stderr.isatty() and not alone:
        return contextlib.nullcontext()
    before: int = ray.get(ledger.done.remote())

    def count() -> int:
        done: int = ray.get(ledger.done.remote())
        return done - before

    return PlainProgress(label, total, count)


def lost_error(label: str, lost: Mapping[str, int], requests: int) -> UnfinishedError | None:
    """One line: how many of the answers that were asked for are missing, why, and what to do. None if none are.

    lost: reason -> answers.
    """
    if not lost:
        return None
    reasons = Counter(lost).most_common(LOST_REASONS)
    shown = "; ".join(f"{count} x {reason[:LOST_SHOWN]}" for reason, count in reasons)
    more = "; and others" if len(lost) > len(reasons) else ""
    slow = "; the server is too slow for llm.concurrency requests at once: lower it, or raise llm.timeout_s"
    more += slow if any("no answer from" in reason for reason in lost) else ""
    return UnfinishedError(
        f"{label}: {sum(lost.values())} of {requests} answers are missing after all retries ({shown}{more}): run the "
        "same command again, it asks only for these; everything that was answered is kept"
    )
