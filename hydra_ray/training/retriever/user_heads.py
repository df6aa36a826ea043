"""Users' heads on a trained retriever: tuned on the training users, then fitted to each user's own rewarded lists.

The loss is ROPG-KD's: the cross-entropy between softmax(m / t) of a list's rewards m and softmax(s / u) of its scores
s, plus `l2` times the squared norm of the head (`hydra_ray.models.retriever_head`). t and `l2` are those after which
the training users' heads, fitted to lists about the users' history items, have the best NDCG on the users' questions.
Lists of one history do not choose: the item that is asked in one is ranked in others, where its answer counts, so that
they judge each other's heads too well. Early stopping and the guard have no others, and only take heads away.

Shapes: N texts, L lists, D numbers of an embedding.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product

import numpy as np
import torch
from numpy.typing import NDArray

from hydra_ray.config import FitConfig
from hydra_ray.core.retrieval import TextEncode
from hydra_ray.core.rewards import RewardedList, ndcg
from hydra_ray.errors import UserError
from hydra_ray.models.heads import Deltas, scores
from hydra_ray.models.retriever_head import WEIGHT, RetrieverHead
from hydra_ray.training.artifacts.trained_retriever import TrainedRetriever
from hydra_ray.training.user_fit.fit import fit_heads
from hydra_ray.training.user_fit.padded_users import NonFiniteError, PaddedUsers, pad_users
from hydra_ray.training.user_fit.solver import solve_heads
from hydra_ray.utils.cpu import one_thread

LOSS = "listnet"
L2_GRID = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03)
"""Strengths that are tried; at the last one a head hardly changes an order."""
TUNING_USERS = 256
"""Training users that choose, at most."""


@dataclass(frozen=True, slots=True)
class UserLists:
    """A user's lists; those without unequal rewards teach nothing and are not among them.

    Attributes:
        user_id: Whose.
        history: About items of the user's history, which a head learns from.
        questions: About a training user's real questions, which judge it.
    """

    user_id: str
    history: tuple[RewardedList, ...]
    questions: tuple[RewardedList, ...] = ()

    @classmethod
    def of(cls, user_id: str, history: Iterable[RewardedList], questions: Iterable[RewardedList] = ()) -> "UserLists":
        """Of all the user's lists."""
        return cls(user_id, *(tuple(one for one in lists if one.teaches) for lists in (history, questions)))


@dataclass(frozen=True, slots=True)
class Chosen:
    """How heads are fitted.

    Attributes:
        teacher: Temperature t of the rewards.
        student: Temperature u of the scores.
        l2: Pull to the retriever; None: no strength was better than the retriever itself, and nobody gets a head.
        ndcg: Of the training users' questions, with heads.
        ndcg_retriever: The same of the retriever.
        tuning_users: Training users that chose.
    """

    teacher: float
    student: float
    l2: float | None
    ndcg: float
    ndcg_retriever: float
    tuning_users: int

    def __str__(self) -> str:
        """One line for the progress."""
        before = f"NDCG on the questions of {self.tuning_users} training users {self.ndcg_retriever:.4f}"
        if self.l2 is None:
            return f"{before}, not better with heads, so that nobody gets one"
        how = f"l2 {self.l2:g}, teacher's temperature {self.teacher:g}"
        return f"{before}, with heads {self.ndcg:.4f} ({how})"


class HeadFit:
    """Fits of heads on one retriever."""

    def __init__(self, retriever: TrainedRetriever, encode: TextEncode, config: FitConfig) -> None:
        """encode: see `TrainedRetriever.encoder`. config: epochs, rate, early stopping, guard, as of HYDRA's heads."""
        self._retriever, self._encode, self._config = retriever, retriever.encoder(encode), config
        self._head = RetrieverHead(retriever.width)

    def tune(self, users: Iterable[UserLists], temperatures: Sequence[float], student: float | None) -> Chosen:
        """What serves the training users.

        Args:
            users: They; those with lists of both kinds take part, up to TUNING_USERS.
            temperatures: Of the rewards, to choose from.
            student: Temperature of the scores; None: the standard deviation of the scores within a list.
        """
        some = list(islice((user for user in users if user.history and user.questions), TUNING_USERS))
        if not some:
            return Chosen(temperatures[0], student or 1.0, None, 0.0, 0.0, 0)
        learned = self._products([user.history for user in some])
        judged = self._products([user.questions for user in some])
        spread = student or _spread(learned)
        before = after = self._ndcg(some, judged, {})
        best: tuple[float, float | None] = (temperatures[0], None)
        with one_thread():
            for teacher, l2 in product(temperatures, L2_GRID if self._config.l2 is None else (self._config.l2,)):
                rows = _rows(some, learned, teacher, spread)
                found = self._ndcg(some, judged, fit_heads(self._head, rows, self._config, l2, LOSS))
                if found > after:
                    after, best = found, (teacher, l2)
        return Chosen(best[0], spread, best[1], after, before, len(some))

    def fit(self, users: Iterable[UserLists], chosen: Chosen) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Users' heads, float32 [D], of those whom their own lists do not speak against.

        Where early stopping or the guard find the retriever to be better on lists held out, it serves the user.
        """
        if chosen.l2 is None:
            return
        waiting = (user for user in users if user.history)
        while some := list(islice(waiting, self._config.batch_users)):
            with one_thread():
                rows = _rows(some, self._products([user.history for user in some]), chosen.teacher, chosen.student)
                fitted = solve_heads(self._head, rows, {"l2": chosen.l2}, self._config, LOSS)
            for user, weight_D in zip(some, fitted.deltas[WEIGHT].numpy(), strict=True):
                if weight_D.any():
                    yield user.user_id, weight_D

    def _products(self, users: Sequence[Sequence[RewardedList]]) -> list[list[NDArray[np.float32]]]:
        """Of users' lists, a query's numbers times each item's, float32 [items, D]; all texts are encoded together."""
        lists = [one for user in users for one in user]
        queries = list(dict.fromkeys(one.query for one in lists))
        items = list(dict.fromkeys(item for one in lists for item in one.items))
        query_ND, item_ND = self._retriever.queries(self._encode(queries)), self._encode(items)
        query_place, item_place = ({text: i for i, text in enumerate(texts)} for texts in (queries, items))
        return [
            [query_ND[query_place[one.query]] * item_ND[[item_place[item] for item in one.items]] for one in user]
            for user in users
        ]

    def _ndcg(
        self, users: Sequence[UserLists], products: Sequence[Sequence[NDArray[np.float32]]], heads: Deltas
    ) -> float:
        """Mean NDCG of the users' questions. heads: [U, ...], or empty: of the retriever."""
        found = []
        for u, (user, of_user) in enumerate(zip(users, products, strict=True)):
            deltas = {name: value[u : u + 1] for name, value in heads.items()}
            for one, z in zip(user.questions, of_user, strict=True):
                scored = scores(self._head(torch.from_numpy(z)[None], deltas))[0]
                found.append(ndcg(one.rewards, scored.tolist()))
        return float(np.mean(found))


def _spread(products: Sequence[Sequence[NDArray[np.float32]]]) -> float:
    """The standard deviation of scores within a list, pooled; 1 where all are equal."""
    squares = [np.var(product.sum(-1)) for user in products for product in user]
    return float(np.sqrt(np.mean(squares))) if squares and max(squares) > 0 else 1.0


def _rows(
    users: Sequence[UserLists], products: Sequence[Sequence[NDArray[np.float32]]], teacher: float, student: float
) -> PaddedUsers:
    """Each user's items as rows of products / u with the labels softmax(m / t); a list is a query. Raises UserError,
    which names the user, for products that are not finite."""
    z = [np.concatenate(user) / np.float32(student) for user in products]
    labels = [
        np.asarray([label for one in user.history for label in _shares(one.rewards, teacher)], dtype=np.float32)
        for user in users
    ]
    queries = [np.repeat(np.arange(len(user.history)), [len(one.items) for one in user.history]) for user in users]
    try:
        return pad_users(z, labels, queries)
    except NonFiniteError as error:
        raise UserError(error.of(f"user {users[error.place].user_id!r}")) from None


def _shares(rewards: Sequence[float], temperature: float) -> list[float]:
    """softmax(m / t) over the known rewards; NaN for the others."""
    best = max(reward for reward in rewards if not math.isnan(reward))
    powers = [math.exp((reward - best) / temperature) for reward in rewards]
    total = sum(power for power in powers if not math.isnan(power))
    return [power / total for power in powers]
