"""The methods that a report knows: in which order, under which title, and whether they train anything."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Group = Literal["trains nothing", "ours"]
GROUPS: tuple[Group, ...] = ("trains nothing", "ours")
FULL = "hydra"


@dataclass(frozen=True, slots=True)
class Method:
    """name: as in report.json. title: as in tables. group: what its training costs. about: one line for a reader."""

    name: str
    title: str
    group: Group
    about: str


CATALOGUE: tuple[Method, ...] = (
    Method("user_majority", "user's majority", "trains nothing", "no LLM: the user's usual answer"),
    Method("zero_shot", "zero-shot", "trains nothing", "the question alone"),
    *(
        Method(f"random_k{k}", f"random, k={k}", "trains nothing", f"{k} random history items as examples")
        for k in (1, 2, 4)
    ),
    *(
        Method(f"bm25_k{k}", f"BM25, k={k}", "trains nothing", f"the {k} best history items by BM25 as examples")
        for k in (1, 2, 4)
    ),
    Method("pag_k0", "profile, k=0", "trains nothing", "a summary of the history, written by the LLM"),
    Method("pag_k1", "profile, k=1", "trains nothing", "the summary and the best history item by BM25"),
    Method("self_consistency", "self-consistency", "trains nothing", "the most frequent of the samples after BM25"),
    Method("hydra_reranker", "HYDRA, reranker only", "ours", "examples chosen by the reranker, one answer"),
    Method("hydra_adapter", "HYDRA, adapter only", "ours", "examples by BM25, the answer chosen by the adapter"),
    Method("hydra_shared", "HYDRA, shared head", "ours", "both, with one head for all users"),
    Method("hydra_paper", "HYDRA as published", "ours", "the adapter reads texts alone and chooses among the samples"),
    Method(FULL, "HYDRA", "ours", "both, with every user's own head"),
)
ORACLES: dict[str, tuple[str, str]] = {
    "oracle_example": ("best single example", "a perfect reranker that shows one record (the best one-shot answer)"),
    "oracle_samples": ("best of the samples", "a perfect adapter on the samples after HYDRA's examples"),
    "oracle_candidates": ("best candidate", "a perfect adapter on those samples and the user's own past answers"),
}
"""Name -> (title, what it is). They know the gold answer: what a part could reach at most, no method."""
_BY_NAME = {method.name: method for method in CATALOGUE}


def method_of(name: str) -> Method:
    """The catalogue's entry; an unknown name is ours if it starts with `hydra`, else it trains nothing."""
    return _BY_NAME.get(name) or Method(name, name, "ours" if name.startswith(FULL) else "trains nothing", "")


def in_order(names: Iterable[str]) -> list[str]:
    """Names by group and place in the catalogue; unknown ones follow their group by name, `hydra` stays the last."""
    place = {method.name: i for i, method in enumerate(CATALOGUE)}

    def key(name: str) -> tuple[int, bool, int, str]:
        return GROUPS.index(method_of(name).group), name == FULL, place.get(name, len(place)), name

    return sorted(set(names), key=key)
