"""HYDRA and its parts: examples by the reranker, the answer by the adapter, with one head or every user's own."""

from hydra_ray.methods.baselines import BM25_SAMPLES, ask_samples
from hydra_ray.methods.method import Method, one_answer
from hydra_ray.methods.question import SAMPLES, Adapter, Call, QuestionContext, Reranker
from hydra_ray.registries import METHODS

PLAIN = "greedy:zero_shot"
"""The call for the answer without examples, which may be a candidate (`adapter.zero_shot_candidate`)."""


def chosen_by(adapter: Adapter, title: str, about: str, reranker: Reranker | None = "hydra") -> Method:
    """A method whose answer an adapter chooses. reranker: picks the examples; None: they are BM25's."""
    samples = BM25_SAMPLES if reranker is None else f"{SAMPLES}{reranker}"

    def calls(question: QuestionContext) -> dict[str, Call]:
        made = ask_samples(question) if reranker is None else {samples: question.samples(question.rerank(reranker))}
        return {PLAIN: question.greedy(), **made}

    return Method(
        title,
        about,
        calls,
        lambda question: question.choose(samples, adapter),
        lambda question: question.candidates(samples, adapter),
        group="ours",
        rerankers=() if reranker is None else (reranker,),
        adapter=adapter,
        always=True,
    )


METHODS.register("hydra_reranker")(
    one_answer(
        "hydra_reranker",
        "HYDRA, reranker only",
        "examples chosen by the reranker, one answer",
        lambda question: question.greedy(question.rerank("hydra")),
        group="ours",
        rerankers=("hydra",),
        always=True,
    )
)
METHODS.register("hydra_adapter")(
    chosen_by("hydra", "HYDRA, adapter only", "examples by BM25, the answer chosen by the adapter", None)
)
METHODS.register("hydra_shared")(
    chosen_by("shared", "HYDRA, shared head", "both, with one head for all users", "shared")
)
METHODS.register("hydra_paper")(
    chosen_by("paper", "HYDRA as published", "the adapter reads texts alone and chooses among the samples")
)
METHODS.register("hydra_unguarded")(
    chosen_by("unguarded", "HYDRA, no guard", "HYDRA with adapter heads that no guard takes back")
)
METHODS.register("hydra")(chosen_by("hydra", "HYDRA", "both, with every user's own head"))
