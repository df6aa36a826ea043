"""The files of the stages that ask the black box: queries and, next to them, the answers to their requests.

    queries/*.parquet   one row a query (`hydra_ray.pipeline.stage_rows`): whose, what, the texts to score, labels known
                        without asking, the requests
    answers/*.parquet   one row a query that asks: for each request the texts that came back, or why none did

Both carry the user's bucket, so that one bucket's rows can be read without the rest.
"""

import shutil
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from hydra_ray.config.resources import ray_options
from hydra_ray.core.hashing import bucket_of
from hydra_ray.core.queries import REAL_ROW
from hydra_ray.core.types import Split, User, user_from_row
from hydra_ray.data.reader import read_counts, read_users, users_dataset
from hydra_ray.errors import UselessAnswersError, UserError
from hydra_ray.llm.usability import AnswerTally, Wanted
from hydra_ray.pipeline.run_context import RunContext
from hydra_ray.pipeline.stage_rows import CUTS, QUERY_COLUMNS, PromptedRow, R, StageRow, row_from_dict, rows_to_table
from hydra_ray.utils.cpu import one_thread
from hydra_ray.utils.ray_data import actor_pool
from hydra_ray.utils.ray_errors import unwrap_user_errors

FEW = 200
"""Users whose rows are made, or heads fitted, in the run's own process (`ResourcesConfig.few_in_driver`)."""
BATCH_USERS = 64
"""Users whose rows are made together."""

Asking = Mapping[str, tuple[Split, Split]]
"""Whose rows are made: user -> (the split of the data whose items stand for the user, the role that is asked for).
As "train" a user's real questions are asked besides the pseudo-queries."""


class RowMaker(Protocol):
    """Makes a stage's rows of users."""

    KIND: ClassVar[type[StageRow]]

    def prefetch(self, users: Sequence[User]) -> None:
        """Makes ready what the rows of a batch of users will look up."""

    def __call__(self, users: Sequence[User]) -> Iterator[tuple[User, PromptedRow[Any]]]: ...


@dataclass(frozen=True, slots=True)
class RowsOfUser(Generic[R]):
    """One user's rows, with their answers, by query id."""

    user_id: str
    bucket: int
    rows: tuple[R, ...]


def ask_black_box(
    run: RunContext,
    users_dir: Path,
    chosen: Asking,
    make: type,
    args: tuple[Any, ...],
    folder: Path,
    wanted: Wanted,
    weights: Path | None = None,
) -> dict[str, int]:
    """Makes the rows of the chosen users with `make(*args)`, has their requests answered, writes both.

    `make` is a class whose instances are RowMakers; wanted: what the answers must be. weights: of what answers in place
    of the LLM (`RunContext.answering`). Killed and called again, it continues. Returns counts. Raises UserError as
    `run_llm_stage` does, and UselessAnswersError where too many of all answers are of no use; then the next attempt
    takes the answers from the response cache, or asks again where the model's identity has changed.
    """
    from hydra_ray.llm.mapper import run_llm_stage

    run.ray()
    queries = folder / "queries"
    if not (folder / "scratch" / "queries").exists():
        shutil.rmtree(queries, ignore_errors=True)
        _make_rows(run, users_dir, MakeBatch(make, args, dict(sorted(chosen.items()))), queries)
        (folder / "scratch" / "queries").touch()
    counts = _count(queries)
    if counts["requests"] and not (folder / "answers").exists():
        stage = folder / "scratch" / "llm"
        accepted = run.config.llm.accept_useless
        try:
            with unwrap_user_errors(), run.answering(weights) as (config, url):
                output = run_llm_stage(
                    queries,
                    config,
                    stage,
                    keep=("user_id", "bucket", "query_id"),
                    base_url=url,
                    ledger=run.ledger(),
                    label=wanted.stage,
                    wanted=None if accepted else wanted,
                )
            tally = tally_of(Path(output), wanted)
            if tally.too_many and not accepted:
                raise tally.error()
        except UselessAnswersError:
            shutil.rmtree(stage, ignore_errors=True)
            raise
        Path(output).rename(folder / "answers")
    used = _used(folder / "answers")
    if used["missing_answers"]:
        run.log(f"{wanted.stage}: {refused_line(folder / 'answers', used['missing_answers'])}")
    return {**counts, **used, **tally_of(folder / "answers", wanted).counts()}


def _make_rows(run: RunContext, users_dir: Path, make: "MakeBatch", folder: Path) -> None:
    """Writes the rows of the chosen users: of few in this process, of many on Ray Data's workers."""
    scoring = run.config.resources.score
    if len(make.chosen) <= FEW and run.config.in_driver(scoring):
        with one_thread():  # as a worker
            tables = [table for table in make.tables(users_dir) if table.num_rows]
        if tables:
            folder.mkdir(parents=True)
            pq.write_table(pa.concat_tables(tables), folder / "0.parquet")
        return
    with unwrap_user_errors():
        users_dataset(users_dir).map_batches(
            MakeBatch,
            fn_constructor_args=make.arguments,
            batch_format="pyarrow",
            batch_size=BATCH_USERS,
            compute=actor_pool(run.workers(scoring)),
            **ray_options(scoring),
        ).write_parquet(str(folder))


def tally_of(answers: Path, wanted: Wanted) -> AnswerTally:
    """What the written answers of a stage are worth."""
    tally = AnswerTally(wanted)
    if answers.exists():
        for batch in pads.dataset(answers, format="parquet").to_batches(columns=["texts", "finish", "errors"]):
            for row in batch.to_pylist():
                for texts, finish, error in zip(row["texts"], row["finish"], row["errors"], strict=True):
                    tally.add(texts, finish, error)
    return tally


def refused_line(answers: Path, missing: int) -> str:
    """How many answers the server refuses for good, and why."""
    errors = pq.read_table(answers, columns=["errors"])["errors"].to_pylist()
    reasons = Counter(error for row in errors for error in row if error is not None).most_common(3)
    shown = "; ".join(f"{count} x {reason}" for reason, count in reasons)
    return f"{missing} answers are missing for good, recorded with the reason ({shown})"


class MakeBatch:
    """Ray Data's callable around a RowMaker: user rows in, query rows out."""

    def __init__(self, make: type, args: tuple[Any, ...], chosen: Asking) -> None:
        self.arguments = make, args, chosen
        self.chosen = chosen
        self._ids = pa.array(chosen, pa.string())

    @cached_property
    def _make(self) -> RowMaker:
        """Made at the first batch: a UserError of a constructor would not reach the driver."""
        make, args, _ = self.arguments
        made: RowMaker = make(*args)
        return made

    def __call__(self, batch: pa.Table) -> pa.Table:
        found = batch.filter(pc.is_in(batch["user_id"], self._ids)).to_pylist()
        # An id may be a user of both splits.
        picked = [row for row in found if row["split"] == self.chosen[row["user_id"]][0]]
        users = [user_from_row({k: row[k] for k in ("user_id", "split", "items", "questions")}) for row in picked]
        return self._rows(users, {row["user_id"]: row["bucket"] for row in picked})

    def tables(self, users_dir: Path) -> Iterator[pa.Table]:
        """The same of all chosen users, read in this process."""
        buckets = int(read_counts(users_dir)["buckets"])
        found = (user for user in read_users(users_dir, user_ids=self.chosen)
                 if user.split == self.chosen[user.user_id][0])  # fmt: skip
        while users := list(islice(found, BATCH_USERS)):
            yield self._rows(users, {user.user_id: bucket_of(user.user_id, buckets) for user in users})

    def _rows(self, users: Sequence[User], buckets: Mapping[str, int]) -> pa.Table:
        asked = [replace(user, split=self.chosen[user.user_id][1]) for user in users]
        self._make.prefetch(asked)
        return rows_to_table(self._make.KIND, self._make(asked), buckets)


def _count(queries: Path) -> dict[str, int]:
    if not any(queries.glob("*.parquet")):
        return {"queries": 0, "requests": 0, **dict.fromkeys(CUTS, 0)}
    table = pq.read_table(queries, columns=["n_requests", *CUTS])
    return {
        "queries": table.num_rows,
        "requests": sum(table["n_requests"].to_pylist()),
        **{name: sum(table[name].to_pylist()) for name in CUTS},
    }


def _used(answers: Path) -> dict[str, int]:
    """What the answers cost this step, and how many are missing."""
    if not answers.exists():
        return dict.fromkeys(("missing_answers", "cached", "prompt_tokens", "completion_tokens", "degraded"), 0)
    columns = ["cached", "prompt_tokens", "completion_tokens", "degraded"]
    table = pq.read_table(answers, columns=["errors", *columns])
    missing = sum(error is not None for errors in table["errors"].to_pylist() for error in errors)
    return {"missing_answers": missing, **{name: sum(table[name].to_pylist()) for name in columns}}


def all_rows(kind: type[R], folder: Path, buckets: Sequence[int] | None = None) -> Iterator[RowsOfUser[R]]:
    """`read_rows` of some buckets (None: of all), one in memory at a time."""
    for bucket in buckets_of(folder) if buckets is None else buckets:
        yield from read_rows(kind, folder, [bucket])


def buckets_of(folder: Path) -> list[int]:
    """The buckets that have queries, ascending."""
    if not any((folder / "queries").glob("*.parquet")):
        return []
    return sorted(set(pq.read_table(folder / "queries", columns=["bucket"])["bucket"].to_pylist()))


def read_rows(
    kind: type[R],
    folder: Path,
    buckets: Sequence[int],
    split: Split | None = None,
    users: Collection[str] | None = None,
) -> Iterator[RowsOfUser[R]]:
    """The rows of the given buckets with their answers, user by user, in a stable order.

    kind: of the rows in `folder`. split: only the users whose rows were made in this role. users: these instead,
    whatever their rows were made as; as "test" they come without their real questions, which only training reads.
    Raises UserError for rows that another version of hydra_ray has written.
    """
    wanted = pads.field("bucket").isin(list(buckets))
    if users is not None:
        wanted = wanted & pads.field("user_id").isin(list(users))
        if split == "test":
            wanted = wanted & ~pc.starts_with(pads.field("query_id"), REAL_ROW)
    elif split is not None:
        wanted = wanted & (pads.field("split") == split)
    stored = pads.dataset(folder / "queries", format="parquet")
    columns = [name for name, _ in (*QUERY_COLUMNS, *kind.COLUMNS)]
    lacking = [name for name in columns if name not in stored.schema.names]
    if lacking:
        raise UserError(
            f"{folder}: the rows have no column {lacking[0]!r}, as another version of hydra_ray wrote them: finish the "
            "run with `hydra-ray run` of this one; it takes the answers from the response cache"
        )
    queries = stored.to_table(columns=columns, filter=wanted).to_pylist()
    answers: dict[str, tuple[tuple[str, ...], ...]] = {}
    if (folder / "answers").exists():
        found = pads.dataset(folder / "answers", format="parquet").to_table(
            columns=["row_id", "texts"], filter=pads.field("bucket").isin(list(buckets))
        )
        answers = {row["row_id"]: tuple(map(tuple, row["texts"])) for row in found.to_pylist()}
    of_user: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for query in queries:
        of_user[query["user_id"]].append(query)
    for user_id, of_one in sorted(of_user.items()):
        of_one.sort(key=lambda query: query["query_id"])
        rows = (row_from_dict(kind, query, answers.get(query["row_id"], ())) for query in of_one)
        yield RowsOfUser(user_id, of_one[0]["bucket"], tuple(rows))
