"""The training loop of a selector over frozen embeddings, in one process. Knows neither Ray nor files.

Q questions, R retrievers of the pool, D numbers of an embedding.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hydra_ray.errors import NothingToLearnError
from hydra_ray.models.retriever_losses import retriever_loss, teaches
from hydra_ray.models.retriever_selector import RetrieverSelector
from hydra_ray.training.best_epoch import fit_best_epoch


@dataclass(frozen=True, slots=True)
class SelectorSettings:
    """How a selector is trained.

    Attributes:
        teacher: Temperature of the rewards.
        student: Temperature of the scores.
        lr: Adam's learning rate.
        epochs: Passes over the training questions at most.
        batch: Questions per step.
    """

    teacher: float = 0.1
    student: float = 1.0
    lr: float = 1e-3
    epochs: int = 20
    batch: int = 64


@dataclass(frozen=True, slots=True)
class SelectorFit:
    """What a training has come to.

    Attributes:
        questions: Those that teach: what was learned from, and held out.
        equal: Questions that were left out: all answers that came back are worth the same, or none did.
        losses: Mean held-out loss, untrained first, then after every epoch.
        epoch: After which the weights are kept; 0: the untrained ones.
    """

    questions: tuple[int, int]
    equal: int
    losses: tuple[float, ...]
    epoch: int


def fit_selector(
    model: RetrieverSelector,
    embedded_QRD: Tensor,
    rewards_QR: Tensor,
    held_out_Q: Tensor,
    settings: SelectorSettings,
    seed: int,
) -> SelectorFit:
    """Trains a selector and leaves it with the weights of the epoch that serves the held-out questions best.

    Args:
        model: Without an encoder of its own.
        embedded_QRD: float32, of every retriever's text.
        rewards_QR: float32, in [0, 1]; NaN where the LLM gave no answer.
        held_out_Q: bool, the questions that choose the epoch; their users must have no others.
        settings: How.
        seed: Of the order of the questions.

    Raises:
        NothingToLearnError: No question teaches anything on one of the two sides.
    """
    useful_Q = teaches(rewards_QR)
    learned, held_out = (torch.nonzero(useful_Q & side).flatten() for side in (~held_out_Q, held_out_Q))
    if not len(learned) or not len(held_out):
        raise NothingToLearnError(
            f"RSPG: {len(learned)} training questions and {len(held_out)} held-out ones have answers that "
            "are better after one retriever than after another; one of each is needed: raise "
            "protocol.train_users"
        )

    def loss_of(places: Tensor) -> Tensor:
        scores = model(embedded_QRD[places].flatten(0, 1))
        return retriever_loss(
            scores, rewards_QR[places], "kd", teacher=settings.teacher, student=settings.student
        ) / len(places)

    @torch.no_grad()
    def held_out_loss() -> float:
        return float(loss_of(held_out))

    losses, epoch = fit_best_epoch(
        model, learned, loss_of, held_out_loss, settings.lr, settings.epochs, settings.batch, seed
    )
    return SelectorFit((len(learned), len(held_out)), int((~useful_Q).sum()), losses, epoch)
