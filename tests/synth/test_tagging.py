from collections import Counter
from itertools import combinations

from hydra_ray.core.tasks import load_task
from hydra_ray.synth.tagging import cluster
from hydra_ray.synth.tagging_words import ASPECTS, TAGS
from tests.synth.some_people import people


def test_partitions_are_transversal() -> None:
    """Two tags that share a cluster under one aspect share none under another, and every aspect uses every tag."""
    together: Counter[frozenset[int]] = Counter()
    for aspect in range(len(ASPECTS)):
        clusters = [cluster(aspect, value) for value in range(5)]
        assert sorted(tag for c in clusters for tag in c) == list(range(len(TAGS)))
        together.update(frozenset(pair) for c in clusters for pair in combinations(c, 2))
    assert max(together.values()) == 1


def test_tag_order_is_the_tasks() -> None:
    assert load_task("synthetic_tagging").labels == TAGS


def test_text_alone_does_not_tell_the_tag() -> None:
    """For the same four values, users give every tag that some aspect allows: at most 3 x 4 of the 15, none often."""
    seen: Counter[tuple[tuple[int, ...], str]] = Counter()
    total: Counter[tuple[int, ...]] = Counter()
    for user in people("tagging", 3000):
        for item in user.items:
            seen[item.values, item.clean] += 1
            total[item.values] += 1
    best = sum(max(seen[values, tag] for tag in TAGS) for values in total)
    assert best / sum(total.values()) < 0.25
    values = max(total, key=lambda v: total[v])
    allowed = {TAGS[t] for aspect, value in enumerate(values) for t in cluster(aspect, value)}
    assert {tag for v, tag in seen if v == values} <= allowed
