from hypothesis import given
from hypothesis import strategies as st

from hydra_ray.training.joint.plan import assign_buckets, imbalance, plan_epoch

EXAMPLES = st.lists(st.tuples(st.integers(0, 63), st.integers(0, 12)), min_size=1, max_size=60)


@given(EXAMPLES, st.integers(1, 4), st.integers(1, 40), st.integers(0, 5))
def test_every_labelled_example_comes_exactly_once_at_its_owner(examples, workers, batch, epoch) -> None:  # type: ignore[no-untyped-def]
    buckets, rows = [b for b, _ in examples], [r for _, r in examples]
    owner = assign_buckets(buckets, rows, workers)
    steps = plan_epoch(buckets, rows, owner, workers, batch, 0, epoch)
    seen = [(i, w) for step in steps for w, share in enumerate(step.examples) for i in share]
    assert sorted(i for i, _ in seen) == [i for i, r in enumerate(rows) if r]
    assert all(owner[buckets[i]] == w for i, w in seen)
    assert all(len(step.examples) == workers for step in steps)
    assert sum(step.rows for step in steps) == sum(rows)


@given(EXAMPLES, st.integers(1, 40))
def test_the_global_batches_do_not_depend_on_the_worker_count(examples, batch) -> None:  # type: ignore[no-untyped-def]
    buckets, rows = [b for b, _ in examples], [r for _, r in examples]
    plans = [plan_epoch(buckets, rows, assign_buckets(buckets, rows, w), w, batch, 7, 1) for w in (1, 2, 3)]
    as_sets = [[(step.rows, frozenset(i for share in step.examples for i in share)) for step in p] for p in plans]
    assert as_sets[0] == as_sets[1] == as_sets[2]


@given(EXAMPLES, st.integers(1, 5))
def test_no_worker_has_more_than_the_mean_and_one_bucket(examples, workers) -> None:  # type: ignore[no-untyped-def]
    buckets, rows = [b for b, _ in examples], [r for _, r in examples]
    owner = assign_buckets(buckets, rows, workers)
    load, largest = [0] * workers, 0
    for bucket in set(buckets):
        size = sum(r for b, r in examples if b == bucket)
        load[owner[bucket]] += size
        largest = max(largest, size)
    assert max(load) <= sum(rows) / workers + largest


def test_imbalance_is_the_busiest_over_the_mean() -> None:
    assert imbalance([0, 1, 2], [2, 1, 1], {0: 0, 1: 1, 2: 1}) == 1
    assert imbalance([0, 1], [3, 1], {0: 0, 1: 1}) == 1.5
