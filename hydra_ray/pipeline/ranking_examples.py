"""From answered rows to ranking examples, user by user; the training users' as Parquet."""

import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from hydra_ray.config import Config
from hydra_ray.core.answers.parse import matches_gold, parsed_texts
from hydra_ray.core.features import WIDTH, candidate_features, history_candidates
from hydra_ray.core.labeling import Row, adapter_candidates, reranker_labels_of_user
from hydra_ray.core.sampling import UserSample
from hydra_ray.core.stand_in_queries import task_of
from hydra_ray.core.tasks import Task, load_task
from hydra_ray.core.types import Split
from hydra_ray.data.reader import read_users
from hydra_ray.inference.types import Component
from hydra_ray.pipeline.llm_rows import buckets_of, read_rows
from hydra_ray.pipeline.run_context import RunContext
from hydra_ray.pipeline.stage_rows import CandidateRow, LabelRow, StageRow
from hydra_ray.training.joint.ranking_examples import RankingExample, examples_to_table
from hydra_ray.training.user_fit.profiles import profile_of, profiles_to_table
from hydra_ray.utils.ray_errors import unwrap_user_errors


def feature_width(config: Config, component: Component) -> int:
    """How many features per row a component reads besides the texts."""
    if component == "reranker":
        return {"none": 0, "score": 1, "score_and_recency": 2}[config.reranker.features]
    return WIDTH if config.adapter.features else 0


def reranker_examples(config: Config, bucket: int, rows: Sequence[LabelRow]) -> list[RankingExample]:
    """What the reranker learns of one user, by query id; rows without anything to score are left out.

    The order counts: it says which queries a fit holds out (`PaddedUsers.held_out`).
    """
    rows, width = sorted(rows, key=_query_id), feature_width(config, "reranker")
    labels = reranker_labels_of_user(load_task(config.data.task), [row.query for row in rows], config.reranker.label)
    examples = []
    for row, label in zip(rows, labels, strict=True):
        query = row.query
        if query.candidates:
            numbers = (row.normalized_scores, row.recencies)[:width]
            features = tuple(zip(*numbers, strict=True))
            examples.append(
                RankingExample(
                    query.user_id, bucket, query.query_id, query.text, query.candidates, tuple(label), features
                )
            )
    return examples


def adapter_examples(config: Config, bucket: int, rows: Sequence[CandidateRow]) -> list[RankingExample]:
    """What the adapter learns of one user, ordered as by `reranker_examples`."""
    task = load_task(config.data.task)
    examples = []
    for row in sorted(rows, key=_query_id):
        if row.query.known and not config.adapter.num_history_queries:
            continue
        query_task = task_of(task, row.query.query_id)
        query, plain = with_plain(query_task, row.query, config.adapter.zero_shot_candidate)
        candidates, label = adapter_candidates(query_task, query, config.adapter.label)
        if config.adapter.history_candidates and query.answers:
            more = history_candidates(query_task, row.answer_counts, candidates)
            candidates, label = (
                candidates + more,
                label + [float(matches_gold(query_task, query.gold, text)) for text in more],
            )
        features: list[tuple[float, ...]] = []
        if config.adapter.features:
            samples = parsed_texts(query_task, query.answers[0] if query.answers else ())
            known = (row.answer_counts, row.supporters, row.topics)
            # What is known of free text means something else than what is known of labels.
            features += (
                candidate_features(query_task, query.text, candidates, samples, *known, plain=plain)
                if query_task.closed == task.closed
                else [(0.0,) * WIDTH] * len(candidates)
            )
        if candidates:
            found = (tuple(candidates), tuple(label), tuple(features))
            examples.append(RankingExample(query.user_id, bucket, query.query_id, query.text, *found))
    return examples


def _query_id(row: StageRow) -> str:
    return row.query.query_id


def with_plain(task: Task, row: Row, wanted: bool) -> tuple[Row, str]:
    """A row whose samples end with the plain answer, if it is `wanted`; and that answer, normalised."""
    if len(row.answers) < 2 or not wanted:
        return row, ""
    samples, plain = row.answers
    return replace(row, answers=((*samples, *plain),)), next(iter(parsed_texts(task, plain)), "")


def read_ranking_examples(
    config: Config,
    component: Component,
    folder: Path,
    buckets: Sequence[int],
    split: Split | None = None,
    users: Collection[str] | None = None,
) -> Iterator[list[RankingExample]]:
    """The ranking examples of each user of the given buckets and split (None: of both); of `users` alone, as
    `read_rows` takes them."""
    if component == "reranker":
        for labelled in read_rows(LabelRow, folder, buckets, split, users):
            yield reranker_examples(config, labelled.bucket, labelled.rows)
    else:
        for sampled in read_rows(CandidateRow, folder, buckets, split, users):
            yield adapter_examples(config, sampled.bucket, sampled.rows)


def chunks(buckets: Sequence[int], count: int) -> list[list[int]]:
    """`buckets` in at most `count` runs of nearly equal length."""
    return [part.tolist() for part in np.array_split(np.asarray(buckets, dtype=np.int64), max(1, count)) if len(part)]


def write_ranking_examples(
    run: RunContext,
    config: Config,
    component: Component,
    answered: Path,
    out: Path,
    chosen: UserSample,
    users_dir: Path | None = None,
    profiles: Path | None = None,
) -> dict[str, int]:
    """The training users' ranking examples as Parquet, one file per run of buckets, made by Ray Data. Returns counts.

    config: how answers become rows. profiles: takes the same users' profiles as well, made of the ingested histories in
    `users_dir`.
    """
    import ray

    run.ray()
    dumped, training = config.model_dump(mode="json"), chosen.read_as("train")

    def write(batch: dict[str, Any]) -> dict[str, Any]:
        parsed = Config.model_validate(dumped)
        counts: dict[str, list[int]] = {"ranking_examples": [], "rows": [], "positive": []}
        for number, buckets in zip(batch["number"], batch["buckets"], strict=True):
            of_users = read_ranking_examples(parsed, component, answered, list(buckets), "train", training)
            examples = [example for user in of_users for example in user]
            file = f"part-{int(number):05d}.parquet"
            pq.write_table(examples_to_table(examples), out / file, compression="zstd")
            if profiles and users_dir:
                bucket_of = {example.user_id: example.bucket for example in examples}
                users = (u for split, ids in chosen.by_source(bucket_of) for u in read_users(users_dir, split, ids))
                found = (profile_of(user, bucket_of[user.user_id]) for user in users)
                pq.write_table(profiles_to_table(found), profiles / file, compression="zstd")
            counts["ranking_examples"].append(len(examples))
            counts["rows"].append(sum(example.labelled for example in examples))
            counts["positive"].append(int(sum(np.nansum(example.label) for example in examples)))
        return {name: np.asarray(values) for name, values in counts.items()}

    # An attempt with other actors cut the buckets otherwise: none of its files may stay.
    for folder in (out, profiles):
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
    parts = chunks(buckets_of(answered), run.workers(run.config.resources.score)[1])
    items = [{"number": i, "buckets": part} for i, part in enumerate(parts)]
    with unwrap_user_errors():
        rows = ray.data.from_items(items).map_batches(write, batch_size=1).take_all()
    return {name: int(sum(row[name] for row in rows)) for name in ("ranking_examples", "rows", "positive")}
