"""Losses over the rows of one query: two-class cross-entropy, and ranking losses that see a query's rows together.

Every loss is a sum in one unit: where all scores are zero, each row that counts costs log 2. So learning rates and
pulls mean the same under each.

- `bce`: each row alone, -log p(label). The only one whose log-odds are calibrated probabilities.
- `listnet`: ListNet's top-1 loss (Cao et al. 2007): cross-entropy between the softmax of a query's scores and its
  labels divided by their sum.
- `ranknet`: RankNet (Burges et al. 2005): logistic loss of the difference, over pairs of different labels.
- `bce_listnet`: the mean of the two.

The ranking losses do not change when a number is added to all scores of a query: they say which row is better, never
how likely it is to be right. What reads a score as a probability (weighted votes, supporters' weights) needs
`bce`; `bce_listnet` lies between. Simulated users, half of the rows right, 100 users' heads: expected
calibration error .03 with `bce` and `ranknet`, .10 with `bce_listnet`, .14 with `listnet`; where queries
differ in their share of right rows .01, .07, .03 and .05.
A query whose labels are all equal says nothing about the order of its rows: it contributes nothing to a ranking loss.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hydra_ray.models.heads import scores
from hydra_ray.registries import LOSSES

Loss = str
"""The name of a registered loss."""


@dataclass(frozen=True, slots=True)
class LossFunction:
    """A value of `train.loss`.

    Attributes:
        of_queries: (scores, labels, mask), each [..., R] -> each query's loss, [...]. label: float in {0, 1}. mask:
            float, 1 where the row has a label. Where all scores are zero, each row that counts should cost log 2.
        ranks: Whether queries whose labels are all equal teach it nothing.
    """

    of_queries: Callable[[Tensor, Tensor, Tensor], Tensor]
    ranks: bool = False


_ABSENT = -1e9
"""The score of a row that does not exist: finite, so that a query without rows gives no NaN."""


def loss_sum(logits_QR2: Tensor, label_QR: Tensor, mask_QR: Tensor, loss: Loss = "bce") -> Tensor:
    """The loss of Q queries with up to R rows each, summed; divide by the labelled rows to compare losses.

    logits: as `Head` gives them. label: float in {0, 1}. mask: float, 1 where the row has a label.
    """
    return query_losses(scores(logits_QR2), label_QR, mask_QR, loss).sum()


def query_losses(s_QR: Tensor, label_QR: Tensor, mask_QR: Tensor, loss: Loss) -> Tensor:
    """Each query's loss, [...], from its rows' scores, labels and mask, [..., R]."""
    return _loss(loss).of_queries(s_QR, label_QR, mask_QR)


def counts(label_QR: Tensor, mask_QR: Tensor, loss: Loss) -> Tensor:
    """Which queries the loss can learn from, bool [...]: for ranking losses only those with unequal labels."""
    if _loss(loss).ranks:
        return _unequal(label_QR, mask_QR)
    return mask_QR.sum(-1) > 0


def _loss(name: Loss) -> LossFunction:
    found: LossFunction = LOSSES.get(name)
    return found


def _unequal(label_QR: Tensor, mask_QR: Tensor) -> Tensor:
    absent = mask_QR == 0
    highest = label_QR.masked_fill(absent, -math.inf).amax(-1)
    return highest > label_QR.masked_fill(absent, math.inf).amin(-1)


def _two_class(s_QR: Tensor, label_QR: Tensor, mask_QR: Tensor) -> Tensor:
    return ((torch.nn.functional.softplus(s_QR) - label_QR * s_QR) * mask_QR).sum(-1)


def _listwise(s_QR: Tensor, label_QR: Tensor, mask_QR: Tensor) -> Tensor:
    """A query of n rows weighs n log 2 / log n: a uniform guess, log n, then costs log 2 a row."""
    log_share_QR = torch.log_softmax(s_QR.masked_fill(mask_QR == 0, _ABSENT), -1)
    wanted_QR = label_QR * mask_QR
    wanted_QR = wanted_QR / wanted_QR.sum(-1, keepdim=True).clamp(min=torch.finfo(s_QR.dtype).tiny)
    rows_Q = mask_QR.sum(-1)
    weight_Q = _unequal(label_QR, mask_QR) * rows_Q * math.log(2) / rows_Q.clamp(min=2).log()
    return -(wanted_QR * log_share_QR).sum(-1) * weight_Q


def _pairwise(s_QR: Tensor, label_QR: Tensor, mask_QR: Tensor) -> Tensor:
    """The mean over a query's pairs, times its rows. Pairs [..., R, R]: first the better row, then the worse."""
    better_QRR = (label_QR.unsqueeze(-1) > label_QR.unsqueeze(-2)) * mask_QR.unsqueeze(-1) * mask_QR.unsqueeze(-2)
    loss_QRR = torch.nn.functional.softplus(s_QR.unsqueeze(-2) - s_QR.unsqueeze(-1))
    pairs_Q = better_QRR.sum((-2, -1))
    return (loss_QRR * better_QRR).sum((-2, -1)) / pairs_Q.clamp(min=1) * mask_QR.sum(-1)


def _two_class_and_listwise(s_QR: Tensor, label_QR: Tensor, mask_QR: Tensor) -> Tensor:
    return (_two_class(s_QR, label_QR, mask_QR) + _listwise(s_QR, label_QR, mask_QR)) / 2


LOSSES.register("bce")(LossFunction(_two_class))
LOSSES.register("listnet")(LossFunction(_listwise, ranks=True))
LOSSES.register("ranknet")(LossFunction(_pairwise, ranks=True))
LOSSES.register("bce_listnet")(LossFunction(_two_class_and_listwise))
