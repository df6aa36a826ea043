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


def loss_sum(logits_GR2: Tensor, label_GR: Tensor, mask_GR: Tensor, loss: Loss = "bce") -> Tensor:
    """The loss of G queries with up to R rows each, summed; divide by the labelled rows to compare losses.

    logits: as `Head` gives them. label: float in {0, 1}. mask: float, 1 where the row has a label.
    """
    return query_losses(scores(logits_GR2), label_GR, mask_GR, loss).sum()


def query_losses(s_GR: Tensor, label_GR: Tensor, mask_GR: Tensor, loss: Loss) -> Tensor:
    """Each query's loss, [...], from its rows' scores, labels and mask, [..., R]."""
    return _loss(loss).of_queries(s_GR, label_GR, mask_GR)


def counts(label_GR: Tensor, mask_GR: Tensor, loss: Loss) -> Tensor:
    """Which queries the loss can learn from, bool [...]: for ranking losses only those with unequal labels."""
    if _loss(loss).ranks:
        return _unequal(label_GR, mask_GR)
    return mask_GR.sum(-1) > 0


def _loss(name: Loss) -> LossFunction:
    found: LossFunction = LOSSES.get(name)
    return found


def _unequal(label_GR: Tensor, mask_GR: Tensor) -> Tensor:
    absent = mask_GR == 0
    highest = label_GR.masked_fill(absent, -math.inf).amax(-1)
    return highest > label_GR.masked_fill(absent, math.inf).amin(-1)


def _two_class(s_GR: Tensor, label_GR: Tensor, mask_GR: Tensor) -> Tensor:
    return ((torch.nn.functional.softplus(s_GR) - label_GR * s_GR) * mask_GR).sum(-1)


def _listwise(s_GR: Tensor, label_GR: Tensor, mask_GR: Tensor) -> Tensor:
    """A query of n rows weighs n log 2 / log n: a uniform guess, log n, then costs log 2 a row."""
    log_share_GR = torch.log_softmax(s_GR.masked_fill(mask_GR == 0, _ABSENT), -1)
    wanted_GR = label_GR * mask_GR
    wanted_GR = wanted_GR / wanted_GR.sum(-1, keepdim=True).clamp(min=torch.finfo(s_GR.dtype).tiny)
    rows_G = mask_GR.sum(-1)
    weight_G = _unequal(label_GR, mask_GR) * rows_G * math.log(2) / rows_G.clamp(min=2).log()
    return -(wanted_GR * log_share_GR).sum(-1) * weight_G


def _pairwise(s_GR: Tensor, label_GR: Tensor, mask_GR: Tensor) -> Tensor:
    """The mean over a query's pairs, times its rows. Pairs [..., R, R]: first the better row, then the worse."""
    better_GRR = (label_GR.unsqueeze(-1) > label_GR.unsqueeze(-2)) * mask_GR.unsqueeze(-1) * mask_GR.unsqueeze(-2)
    loss_GRR = torch.nn.functional.softplus(s_GR.unsqueeze(-2) - s_GR.unsqueeze(-1))
    pairs_G = better_GRR.sum((-2, -1))
    return (loss_GRR * better_GRR).sum((-2, -1)) / pairs_G.clamp(min=1) * mask_GR.sum(-1)


def _two_class_and_listwise(s_GR: Tensor, label_GR: Tensor, mask_GR: Tensor) -> Tensor:
    return (_two_class(s_GR, label_GR, mask_GR) + _listwise(s_GR, label_GR, mask_GR)) / 2


LOSSES.register("bce")(LossFunction(_two_class))
LOSSES.register("listnet")(LossFunction(_listwise, ranks=True))
LOSSES.register("ranknet")(LossFunction(_pairwise, ranks=True))
LOSSES.register("bce_listnet")(LossFunction(_two_class_and_listwise))
