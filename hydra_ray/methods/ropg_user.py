"""ROPG-KD with a user head: the trained retriever's score, in which each user's own head says what counts more.

Our addition to ROPG (`hydra_ray.methods.ropg`). A head is fitted to what the label step knows of the user's own history
items: the LLM's answers after single items, which HYDRA's reranker learns from, and, where
`reranker.num_history_queries` asks for them, which of the user's items carry the same answer. Neither costs a further
call.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_ray.config import Config
from hydra_ray.core.labeling import Row
from hydra_ray.core.queries import REAL_ROW
from hydra_ray.core.retrieval import Retriever, RetrieverKind, RetrieverSettings
from hydra_ray.core.rewards import rewarded_lists
from hydra_ray.core.tasks import Task
from hydra_ray.core.types import HistoryItem, User
from hydra_ray.methods.method import one_answer
from hydra_ray.methods.question import Call, QuestionContext
from hydra_ray.methods.training import MethodTraining
from hydra_ray.registries import METHODS
from hydra_ray.training.artifacts.trained_retriever import TrainedRetriever, trained_retriever

if TYPE_CHECKING:
    from hydra_ray.training.retriever.user_heads import UserLists

NAME, BASE = "ropg_kd_user", "ropg_kd_k1"
"""Of the training, and the row whose retriever the heads are on."""


def train(training: MethodTraining) -> None:
    """Tunes heads on the training users and fits the evaluated users'. Raises UserError as `TrainedRetriever.load`."""
    from hydra_ray.models.text_embeddings import text_embeddings
    from hydra_ray.training.artifacts.retriever_heads import save_heads
    from hydra_ray.training.retriever.user_heads import HeadFit

    config = Config.model_validate(training.config)
    retriever = TrainedRetriever.load(NAME, training.trained_by(BASE))
    fit = HeadFit(retriever, text_embeddings(config.text_encoder, training.embedding_store), config.fit)
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in training.feedback():
        rows[row.user_id].append(row)
    own = partial(lists_of, training.task, config.retrieval.use_date)
    tuned_on = (own(user, rows[user.user_id]) for user in training.users())
    chosen = fit.tune(tuned_on, config.ropg.teacher_temperatures, config.ropg.student_temperature)
    training.log(f"{NAME}: {chosen}")
    heads = dict(fit.fit((own(user, rows) for user, rows in training.own_feedback()), chosen))
    save_heads(training.folder, retriever, config.data.buckets, heads, asdict(chosen))
    training.log(f"{NAME}: {len(heads):,} of the evaluated users have a head of their own")


def lists_of(task: Task, use_date: bool, user: User, rows: Sequence[Row]) -> "UserLists":
    """What a user's head learns from, and of a training user what judges it."""
    from hydra_ray.training.retriever.user_heads import UserLists

    real, history = ([row for row in rows if row.query_id.startswith(REAL_ROW) is kind] for kind in (True, False))
    return UserLists.of(
        user.user_id, *(rewarded_lists(task, [user], some, use_date, known=True) for some in (history, real))
    )


def train_reads(config: Config) -> dict[str, Any]:
    """What a training depends on besides the retriever and the feedback."""
    return {"fit": config.fit.identity(), "buckets": config.data.buckets}


def user_parameters(trained: Path) -> int:
    """The numbers of one user's head. Raises UserError if they cannot be read."""
    from hydra_ray.training.artifacts.retriever_heads import numbers_of

    return numbers_of(NAME, trained)


def learned(question: QuestionContext) -> RetrieverKind:
    """The trained retriever with the user's own head; both are read when the history is searched."""

    def make(items: Sequence[HistoryItem], settings: RetrieverSettings) -> Retriever:
        from hydra_ray.training.artifacts.retriever_heads import retriever_heads

        retriever = trained_retriever(NAME, question.trained_by(BASE))
        heads = retriever_heads(NAME, question.trained, retriever.digest)
        return retriever.over(items, settings, heads.of(question.user_id))

    return RetrieverKind(make, encodes=True)


def _ask(k: int) -> Callable[[QuestionContext], Call]:
    return lambda question: question.greedy(question.retrieve(learned(question), k))


for k in (1, 4):
    name, about = f"{NAME}_k{k}", f"the {k} best history items by ROPG-KD's retriever with the user's own head"
    asks = one_answer(
        name, f"ROPG-KD + user head, k={k}", about, _ask(k), group="others that train", retrievers=("dense",)
    )
    METHODS.register(name)(
        replace(
            asks,
            train=train,
            reads_feedback=True,
            reads_own_feedback=True,
            builds_on=lambda config: (BASE,),
            user_parameters=user_parameters,
            trained_as=NAME,
            train_reads=train_reads,
        )
    )
