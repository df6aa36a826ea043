"""From the answers of a pool of retrievers to a trained selector, in the run's own process.

Q questions, R retrievers of the pool, D numbers of an embedding.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from hydra_ray.config import ModelConfig, RspgConfig
from hydra_ray.core.retriever_pool import PoolExample
from hydra_ray.core.sampling import held_out_users
from hydra_ray.errors import NothingToLearnError
from hydra_ray.models.encoder import frozen_encoder
from hydra_ray.models.retriever_losses import teaches
from hydra_ray.models.retriever_selector import RetrieverSelector, chosen, relative_embeddings
from hydra_ray.training.artifacts.trained_selector import save_selector, selector_inputs
from hydra_ray.training.selector.fit import SelectorSettings, fit_selector


def train_selector(
    name: str,
    examples: Sequence[PoolExample],
    config: RspgConfig,
    model: ModelConfig,
    post: bool,
    seed: int,
    folder: Path,
    log: Callable[[str], None],
) -> None:
    """Trains a selector and writes it.

    Args:
        name: Of the training, in messages.
        examples: Of all training users.
        config: How, and the pool in the examples' order.
        model: The encoder, which stays frozen.
        post: Whether answers are read.
        seed: Of all draws.
        folder: Takes the selector.
        log: Shows a line.

    Raises:
        NothingToLearnError: The answers teach nothing.
    """
    rewards_QR = torch.tensor([one.rewards for one in examples], dtype=torch.float32).view(-1, len(config.pool))
    useful_Q = teaches(rewards_QR) if examples else torch.zeros(0, dtype=torch.bool)
    if not useful_Q.any():
        raise NothingToLearnError(
            f"{name}: the LLM answers none of the {len(examples)} training queries better after one "
            "retriever of rspg.pool than after another, so there is nothing to learn from: raise "
            "protocol.train_users or protocol.pseudo_queries, and see that users have "
            "histories"
        )
    # Nothing is learned from the others, so that their texts are not encoded.
    equal = int((~useful_Q).sum())
    examples = [one for one, useful in zip(examples, useful_Q.tolist(), strict=True) if useful]
    rewards_QR = rewards_QR[useful_Q]
    held_out = held_out_users({one.user_id for one in examples}, config.holdout, seed)
    held_out_Q = torch.tensor([one.user_id in held_out for one in examples])
    embedded_QRD = _embedded(examples, model, post)
    scale = float(embedded_QRD[~held_out_Q].square().mean().sqrt().clamp(min=1e-6))
    alike_QR = torch.tensor([one.agreement for one in examples]) if post and config.agreement else None
    inputs_QRX = selector_inputs(embedded_QRD, scale, alike_QR)
    selector = RetrieverSelector(config.pool, inputs_QRX.shape[-1])
    teacher, student = config.teacher_temperature, config.student_temperature
    settings = SelectorSettings(teacher, student, config.lr, config.epochs, config.batch_queries)
    learned_QR = rewards_QR[~held_out_Q]
    if not learned_QR.isnan().any(-1).all():
        selector.start_from(learned_QR, teacher, student)
    found = fit_selector(selector, inputs_QRX, rewards_QR, held_out_Q, settings, seed)
    chosen_reward, alone = _held_out_rewards(selector, inputs_QRX, rewards_QR, held_out_Q)
    about = {"scale": scale, "agreement": alike_QR is not None, "seed": seed, **asdict(found), "equal": equal}
    about |= {"selector": chosen_reward, "alone": alone}
    save_selector(folder, model, selector, about)
    log(f"{name}: {found.questions[0]} queries learned from, {equal} with equal rewards left out, epoch "
        f"{found.epoch} of {config.epochs} kept; mean reward of held-out users {chosen_reward:.3f}, of the best "
        f"retriever alone {max(alone.values()):.3f}")  # fmt: skip


def _embedded(examples: Sequence[PoolExample], model: ModelConfig, post: bool) -> Tensor:
    """float32 [Q, R, D]."""
    prompts = [prompt for one in examples for prompt in one.prompts]
    answers = [answer or "" for one in examples for answer in one.answers] if post else None
    return relative_embeddings(frozen_encoder(model), len(examples[0].prompts), prompts, answers)


@torch.no_grad()
def _held_out_rewards(
    selector: RetrieverSelector, inputs_QRX: Tensor, rewards_QR: Tensor, held_out_Q: Tensor
) -> tuple[float, dict[str, float]]:
    """Mean reward of the held-out queries, by the selector's choice and after each retriever alone."""
    known_Q = held_out_Q & ~rewards_QR.isnan().any(-1)
    rewards_HR, scores_HR = rewards_QR[known_Q], selector(inputs_QRX[known_Q].flatten(0, 1))
    picked_H = rewards_HR.gather(1, chosen(scores_HR).unsqueeze(1))
    alone = dict(zip(selector.pool, rewards_HR.mean(0).tolist(), strict=True))
    return float(picked_H.mean()), alone
