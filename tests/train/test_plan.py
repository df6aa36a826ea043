from hypothesis import given
from hypothesis import strategies as st

from hydra_ray.train.plan import owner_of, plan_epoch

GROUPS = st.lists(st.tuples(st.integers(0, 63), st.integers(0, 12)), min_size=1, max_size=60)


@given(GROUPS, st.integers(1, 4), st.integers(1, 40), st.integers(0, 5))
def test_every_labelled_group_comes_exactly_once_at_its_owner(groups, workers, batch, epoch) -> None:  # type: ignore[no-untyped-def]
    buckets, rows = [b for b, _ in groups], [r for _, r in groups]
    steps = plan_epoch(buckets, rows, workers, batch, 0, epoch)
    seen = [(i, w) for step in steps for w, share in enumerate(step.groups) for i in share]
    assert sorted(i for i, _ in seen) == [i for i, r in enumerate(rows) if r]
    assert all(owner_of(buckets[i], workers) == w for i, w in seen)
    assert sum(step.rows for step in steps) == sum(rows)


@given(GROUPS, st.integers(1, 40))
def test_the_global_batches_do_not_depend_on_the_worker_count(groups, batch) -> None:  # type: ignore[no-untyped-def]
    buckets, rows = [b for b, _ in groups], [r for _, r in groups]
    plans = [plan_epoch(buckets, rows, w, batch, 7, 1) for w in (1, 2, 3)]
    as_sets = [[(step.rows, frozenset(i for share in step.groups for i in share)) for step in p] for p in plans]
    assert as_sets[0] == as_sets[1] == as_sets[2]
