"""What a report says of a method: its title, and whether it trains anything; and the order of all."""

from collections.abc import Iterable
from typing import NamedTuple, get_args

from hydra_ray.methods.method import Group, Method
from hydra_ray.registries import METHODS

GROUPS: tuple[Group, ...] = get_args(Group)
FULL, UNGUARDED = "hydra", "hydra_unguarded"

ORACLES: dict[str, tuple[str, str]] = {
    "oracle_example": ("best single example", "a perfect reranker that shows one record (the best one-shot answer)"),
    "oracle_samples": ("best of the samples", "a perfect adapter on the samples after HYDRA's examples"),
    "oracle_candidates": ("best candidate", "a perfect adapter on those samples and the user's own past answers"),
    "oracle_retriever": ("best retriever", "a perfect choice, per question, among the retrievers of the table"),
    "worst_retriever": ("worst retriever", "the worst choice, per question, among the same retrievers"),
}
"""Name -> (title, what it is). They know the gold answer: what a part could reach at most, no method."""


RETRIEVER_POOL = ("zero_shot", "bm25_k4", "recency_k4", "dense_k4", "ropg_kd_k4", "ropg_rl_k4")
"""The rows that differ in the retriever alone: no examples, or the 4 best of one retriever."""
RETRIEVER_CHOICES = ("rspg_pre", "rspg_post")
"""The rows that choose among retrievers per question."""
SMALLEST_POOL = 3
"""Rows of the pool that a run must show before the report says what a choice among them could gain: every run shows the
first two."""


class MethodLabel(NamedTuple):
    """name: as in report.json. title: as in charts. group: what its training costs. about: one line for a reader."""

    name: str
    title: str
    group: Group
    about: str


def method_of(name: str) -> MethodLabel:
    """The description of a method; one that is not registered here (any more) is ours if its name begins with `hydra`,
    else it trains nothing."""
    if name in METHODS:
        method: Method = METHODS.get(name)
        return MethodLabel(name, method.title, method.group, method.about)
    return MethodLabel(name, name, "ours" if name.startswith(FULL) else "trains nothing", "")


def in_order(names: Iterable[str]) -> list[str]:
    """Names by group and place in the registry; unknown ones follow their group by name, `hydra` stays the last."""
    place = {name: i for i, name in enumerate(METHODS.builtin)}

    def key(name: str) -> tuple[int, bool, int, str]:
        return GROUPS.index(method_of(name).group), name == FULL, place.get(name, len(place)), name

    return sorted(set(names), key=key)
