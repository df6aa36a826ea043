"""The client inside a Ray Data pipeline: rows with a request in, the same rows with answers out, resumable.

Layout of a stage's folder:

    input/    the requests, in files of one batch each
    done/     ids of the rows whose answers are written (Ray Data's checkpoint, committed file by file)
    output/   the answers
"""

import contextlib
import math
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import ray
from pyarrow import fs
from ray.data.checkpoint import CheckpointConfig

from hydra_ray import environment
from hydra_ray.config import Config, LLMConfig
from hydra_ray.errors import UserError
from hydra_ray.llm.client import LLMClient
from hydra_ray.llm.identity import model_identity
from hydra_ray.llm.ledger_actor import run_ledger
from hydra_ray.llm.loop import LoopThread
from hydra_ray.llm.ports import ActorPort
from hydra_ray.llm.progress import PlainProgress
from hydra_ray.llm.types import Answer, request_from_json

REQUEST_COLUMN = "request_json"
ANSWER_SCHEMA = pa.schema(
    [
        ("texts", pa.list_(pa.string())),
        ("error", pa.string()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("cached", pa.bool_()),
    ]
)
# Requests in a batch for each one in flight: the slots that run dry at a batch's end are then a few per cent of all.
BATCH_DEPTH = 16
CHECKPOINT_ACTOR_BYTES = 64 * 2**20


class AskLLM:
    """The callable for `map_batches` (`batch_format="pyarrow"`): appends the columns of ANSWER_SCHEMA.

    Rows need `request_json` (`hydra_ray.llm.types.request_to_json`). Rows without a final answer (the budget is used
    up, the server refuses every request) are dropped, so that no checkpoint takes them for done; the ledger actor is
    told why, and after a UserError other than the budget's nothing more is asked.
    """

    def __init__(
        self, cfg: LLMConfig, ledger: Any, base_url: str, identity: str, concurrency: int, key: environment.Secret
    ) -> None:
        self._loop = LoopThread()
        self._ledger = ledger
        self._client = LLMClient(
            cfg, ActorPort(ledger), base_url=base_url, identity=identity, concurrency=concurrency, key=key
        )
        self._hopeless = False

    def __call__(self, batch: pa.Table) -> pa.Table:
        answers: list[Answer | None] = [None] * batch.num_rows
        failure: UserError | None = None
        if not self._hopeless:
            requests = [request_from_json(text) for text in batch[REQUEST_COLUMN].to_pylist()]
            try:
                answers, failure = self._loop.run(self._client.complete_affordable(requests))
            except UserError as error:
                failure, self._hopeless = error, True
        if failure is not None:
            ray.get(self._ledger.fail.remote(failure))
        kept = batch.filter(pa.array([answer is not None for answer in answers], pa.bool_()))
        return append_answers(kept, [answer for answer in answers if answer is not None])


def append_answers(batch: pa.Table, answers: list[Answer]) -> pa.Table:
    """The batch with the columns of ANSWER_SCHEMA."""
    for field in ANSWER_SCHEMA:
        values = [getattr(answer, field.name) for answer in answers]
        batch = batch.append_column(field, pa.array(values, field.type))
    return batch


def run_llm_stage(
    dataset: Any,
    cfg: Config,
    checkpoint_path: str | Path,
    id_column: str = "request_id",
    *,
    base_url: str | None = None,
    ledger: Any = None,
    label: str = "llm",
) -> Any:
    """Answers every row of a Ray dataset and returns the dataset of the answered rows, each exactly once, in any order.

    dataset: rows with a unique `id_column` and `request_json`; other columns pass through. checkpoint_path: this
    stage's own folder, on storage that every node sees; a run that was killed is resumed by calling this again with
    the same rows. base_url: of the served model, default `llm.base_url`. ledger: default, the run's own actor.
    label: in progress lines.

    Raises BudgetReachedError when everything the budget allows is answered and written, UserError where nothing more
    would be answered, ValueError if ids are not unique.
    """
    root = str(checkpoint_path)
    ledger = ledger if ledger is not None else run_ledger(cfg)
    url = base_url or cfg.llm.base_url
    if url is None:
        raise UserError("llm.base_url: not set and no model is served: give the address of a chat server")
    actors = cfg.ray.actors
    concurrency = math.ceil(cfg.llm.concurrency / actors)
    _write_input(dataset, f"{root}/input", BATCH_DEPTH * concurrency)
    ids = _ids(f"{root}/input", id_column)
    if len(set(ids)) != len(ids):
        raise ValueError(f"column {id_column!r} of an LLM stage must be unique: {len(ids)} rows, {len(set(ids))} ids")
    left = len(set(ids) - set(_ids(f"{root}/done", id_column)))
    batch = max(1, min(BATCH_DEPTH * concurrency, math.ceil(left / actors)))
    pipeline = ray.data.read_parquet(f"{root}/input")
    _configure(pipeline.context, f"{root}/done", id_column)
    key = environment.api_key(cfg.llm.api_key_env)
    answered = pipeline.repartition(target_num_rows_per_block=batch).map_batches(
        AskLLM,
        fn_constructor_args=(cfg.llm, ledger, url, model_identity(cfg.llm), concurrency, key),
        batch_size=batch,
        batch_format="pyarrow",
        zero_copy_batch=True,
        num_cpus=0,
        compute=ray.data.ActorPoolStrategy(size=actors),
    )
    ray.get(ledger.fail.remote(None))
    if left:
        with _progress(label, left, ledger):
            answered.write_parquet(f"{root}/output")
    _check_complete(ids, _ids(f"{root}/output", id_column), ray.get(ledger.failure.remote()), root)
    return ray.data.read_parquet(f"{root}/output") if ids else dataset


def _write_input(dataset: Any, path: str, batch: int) -> None:
    """Checkpoints need a pipeline that begins with files. Written anew: a killed run may have left half of them."""
    system, inner = fs.FileSystem.from_uri(_uri(path))
    if system.get_file_info(inner).type != fs.FileType.NotFound:
        system.delete_dir(inner)
    dataset.write_parquet(path, max_rows_per_file=batch)


def _configure(context: Any, done: str, id_column: str) -> None:
    """Checkpointing for this pipeline alone; progress bars only where there is a terminal."""
    checkpoint = CheckpointConfig(id_column=id_column, checkpoint_path=_uri(done), delete_checkpoint_on_success=False)
    checkpoint.checkpoint_actor_memory_bytes = CHECKPOINT_ACTOR_BYTES
    context.checkpoint_config = checkpoint
    context.enable_progress_bars = sys.stderr.isatty()


def _progress(label: str, total: int, ledger: Any) -> contextlib.AbstractContextManager[Any]:
    """Plain lines where Ray Data's own bars have no terminal."""
    if sys.stderr.isatty():
        return contextlib.nullcontext()
    before: int = ray.get(ledger.done.remote())

    def count() -> int:
        done: int = ray.get(ledger.done.remote())
        return done - before

    return PlainProgress(label, total, count)


def _check_complete(ids: list[Any], written: list[Any], failure: UserError | None, root: str) -> None:
    if len(written) != len(set(written)) or set(written) - set(ids):
        raise RuntimeError(f"{root}/output holds rows twice or of other requests: delete {root} and run again")
    if len(written) < len(ids):
        raise failure or RuntimeError(f"{root}/output lacks {len(ids) - len(written)} of {len(ids)} rows: run again")


def _uri(path: str) -> str:
    return path if "://" in path else str(Path(path).resolve())


def _files(path: str) -> list[str]:
    """Committed Parquet files in a folder; none if there is no such folder."""
    system, inner = fs.FileSystem.from_uri(_uri(path))
    found = system.get_file_info(fs.FileSelector(inner, recursive=True, allow_not_found=True))
    names = [info.path for info in found if info.type == fs.FileType.File and info.path.endswith(".parquet")]
    return [name for name in names if not name.endswith(".pending.parquet")]


def _ids(path: str, id_column: str) -> list[Any]:
    system, _ = fs.FileSystem.from_uri(_uri(path))
    ids: list[Any] = []
    for name in _files(path):
        ids += pq.read_table(name, columns=[id_column], filesystem=system)[id_column].to_pylist()
    return ids
