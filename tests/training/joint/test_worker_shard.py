from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hydra_ray.training.joint.ranking_examples import RankingExample, examples_to_table
from hydra_ray.training.joint.worker_shard import WorkerShard


def example(user: int, query: int) -> RankingExample:
    """A query of a user whose bucket is not in the order of its name."""
    name = f"u{user}"
    return RankingExample(
        name, (user * 3) % 5, f"{name}-{query}", f"text {user} {query}", ("a", "b"), (1.0, 0.0), ((), ())
    )


def write(folder: Path, files: int) -> Path:
    """Five users' ranking examples, bucket by bucket, cut into as many files as there were actors."""
    folder.mkdir()
    users = sorted(range(5), key=lambda user: example(user, 0).bucket)
    for number in range(files):
        mine = sorted(users[number * 5 // files : (number + 1) * 5 // files])
        table = examples_to_table([example(user, query) for user in mine for query in range(3)])
        pq.write_table(table, folder / f"part-{number}.parquet")
    return folder


@pytest.mark.parametrize("files", [2, 5])
def test_the_plan_does_not_depend_on_how_examples_were_cut_into_files(tmp_path: Path, files: int) -> None:
    one, other = (WorkerShard(write(tmp_path / str(count), count), 0, 2) for count in (1, files))
    assert one.examples == other.examples
    assert list(one.examples) == list(other.examples)
    assert one.plan(4, 0, 1) == other.plan(4, 0, 1)
    assert len(one.examples) < len(one.buckets)
    assert [example.query_id for example in one.examples.values()] == sorted(
        example.query_id for example in one.examples.values()
    )
