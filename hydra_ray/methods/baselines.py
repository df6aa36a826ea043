"""The methods that train nothing: prompts with none, random or retrieved history items, a profile, a vote."""

from collections.abc import Callable

from hydra_ray.core.selection import candidates_of, self_consistency, user_majority
from hydra_ray.core.tasks import Task
from hydra_ray.methods.method import Method, one_answer
from hydra_ray.methods.question import SAMPLES, AnsweredQuestion, Call, QuestionContext
from hydra_ray.registries import METHODS

SHOWN = 4
"""History items in the prompt that samples are drawn after."""
BM25_SAMPLES = f"{SAMPLES}bm25"
"""The call for samples after the best items by BM25."""


def ask_samples(question: QuestionContext) -> dict[str, Call]:
    """The call that `BM25_SAMPLES` names."""
    return {BM25_SAMPLES: question.samples(question.retrieve("bm25", SHOWN))}


def _majority(question: AnsweredQuestion) -> str:
    return user_majority(question.task, question.history, _without_history(question.task))


def _without_history(task: Task) -> str:
    """The first label, the middle of a rating's scale; "" for free text."""
    if not task.labels:
        return ""
    return task.labels[len(task.labels) // 2 if "mae" in task.rules.metrics else 0]


def _consistent(question: AnsweredQuestion) -> str | None:
    samples = question.texts(BM25_SAMPLES)
    return self_consistency(question.task, samples) if samples else None


def _retrieved(method: str, k: int) -> Callable[[QuestionContext], Call]:
    return lambda question: question.greedy(question.retrieve(method, k))


def _profile(k: int) -> Callable[[QuestionContext], Call]:
    return lambda question: question.greedy(question.retrieve("bm25", k), question.summary)


def _one_answer(
    name: str, title: str, about: str, ask: Callable[[QuestionContext], Call], summary: bool = False
) -> None:
    METHODS.register(name)(one_answer(name, title, about, ask, summary=summary, always=True))


METHODS.register("user_majority")(
    Method("user's majority", "no LLM: the user's usual answer", lambda question: {}, _majority, always=True)
)
_one_answer("zero_shot", "zero-shot", "the question alone", lambda question: question.greedy())
for k in (1, 2, 4):
    _one_answer(f"random_k{k}", f"random, k={k}", f"{k} random history items as examples", _retrieved("random", k))
    about = f"the {k} best history items by BM25 as examples"
    _one_answer(f"bm25_k{k}", f"BM25, k={k}", about, _retrieved("bm25", k))
_one_answer("pag_k0", "profile, k=0", "a summary of the history, written by the LLM", _profile(0), summary=True)
_one_answer("pag_k1", "profile, k=1", "the summary and the best history item by BM25", _profile(1), summary=True)


def _further(retriever: str, k: int, title: str, about: str) -> None:
    """A row that a run shows where `evaluate.methods` names it."""
    name = f"{retriever}_k{k}"
    ask = _retrieved(retriever, k)
    METHODS.register(name)(one_answer(name, f"{title}, k={k}", about, ask, retrievers=(retriever,)))


for k in (1, 2, 4):
    _further("recency", k, "recency", f"the {k} newest history items as examples")
    _further("dense", k, "dense", f"the {k} nearest history items by their embeddings as examples")
    _further("ranking", k, "ranking", f"the {k} best history items of `retrieval.ranking` as examples")
_further("rrf", 4, "rank fusion", "the 4 best history items by the fused rankings of `retrieval.fuse` as examples")
METHODS.register("self_consistency")(
    Method(
        "self-consistency",
        "the most frequent of the samples after BM25",
        ask_samples,
        _consistent,
        lambda question: candidates_of(question.task, question.texts(BM25_SAMPLES), {}, False).texts,
        always=True,
    )
)
