"""What a retriever learns from the rewards of a query's candidates (ROPG, arXiv 2404.05970): KD or RL, two readings.

m: rewards, s: the retriever's scores of L lists with up to C candidates each; t, u: temperatures of teacher, student.
All losses are sums over lists, and leave out candidates without a reward.

- `kd`, clean: KL(softmax(m / t) || softmax(s / u)). Lists whose rewards are all equal teach nothing and are left out:
  they would only flatten the scores.
- `kd`, released: as the released code computes it, the cross-entropy between softmax(m / t) and the probabilities
  softmax(s / t) taken as logits once more, over all lists. Its optimum is softmax(s / t) = m / t plus a constant.
- `rl`, clean: minus the expected reward under softmax(s / u), taken over all candidates. The gradient is REINFORCE's in
  the mean, without its variance; a baseline would not change it.
- `rl`, released: one candidate is drawn from softmax(s); minus its reward above the first candidate's, times the log of
  its probability.
"""

import torch
from torch import Tensor

from hydra_ray.config.retriever_training import Goal, Objective

_ABSENT = -1e9
"""The score of a candidate that does not exist: finite, so that a list without any gives no NaN."""


def retriever_loss(
    scores_LC: Tensor,
    rewards_LC: Tensor,
    goal: Goal,
    objective: Objective = "clean",
    teacher: float = 1.0,
    student: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The loss of L lists with up to C candidates each, summed.

    Args:
        scores_LC: float32 [L, C], the retriever's.
        rewards_LC: float32 [L, C]; NaN where there is no candidate, or no answer after it.
        goal: Distillation or policy gradient.
        objective: The clean reading, or the released code's.
        teacher: Temperature of the rewards.
        student: Temperature of the scores; the released objectives have none of their own.
        generator: Of the released policy gradient's draws.
    """
    known_LC = ~rewards_LC.isnan()
    reward_LC = rewards_LC.nan_to_num(0.0)
    if goal == "kd":
        temperature = student if objective == "clean" else teacher
        log_share_LC = _log_softmax(scores_LC / temperature, known_LC)
        wanted_LC = _log_softmax(reward_LC / teacher, known_LC).exp() * known_LC
        if objective == "released":
            again_LC = _log_softmax(log_share_LC.exp(), known_LC)
            return -(wanted_LC * again_LC).sum()
        entropy_LC = torch.special.entr(wanted_LC)
        loss_L = (-(wanted_LC * log_share_LC) - entropy_LC).sum(-1)
        loss: Tensor = (loss_L * teaches(rewards_LC)).sum()
        return loss
    log_share_LC = _log_softmax(scores_LC / (student if objective == "clean" else 1.0), known_LC)
    if objective == "clean":
        return -(log_share_LC.exp() * reward_LC * known_LC).sum()
    some_L = known_LC.any(-1)
    # A list without candidates draws its first place, with a reward of 0.
    drawn_L1 = torch.multinomial(
        torch.where(some_L[:, None], log_share_LC.detach().exp() * known_LC, 1.0), 1, generator=generator
    )
    first_L1 = known_LC.float().argmax(-1, keepdim=True)
    gain_L1 = reward_LC.gather(1, drawn_L1) - reward_LC.gather(1, first_L1)
    return -(gain_L1 * log_share_LC.gather(1, drawn_L1) * some_L[:, None]).sum()


def teaches(rewards_LC: Tensor) -> Tensor:
    """Which lists have unequal rewards, bool [L]. rewards_LC: NaN where there is none."""
    highest_L = rewards_LC.nan_to_num(-torch.inf).amax(-1)
    return highest_L > rewards_LC.nan_to_num(torch.inf).amin(-1)


def _log_softmax(x_LC: Tensor, known_LC: Tensor) -> Tensor:
    return torch.log_softmax(x_LC.masked_fill(~known_LC, _ABSENT), -1)
