"""Users trained one after the other by peft: the other side of `hydra-ray bench lora`, and what tests compare with.

One base wrapped once; a user's adapter begins at our initial weights, sees our batches in our order, and is trained by
PyTorch's AdamW after PyTorch's clip, on Hugging Face's schedule and Hugging Face's loss. Without dropout, whose draws
peft takes from a generator for the batch as it stands.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hydra_ray.config.lora import LoraConfig
from hydra_ray.errors import UserError
from hydra_ray.models.lora.decoder import Decoder
from hydra_ray.models.lora.shape import LoraWeights, shape_of
from hydra_ray.training.user_lora.plan import UserPlan, plan_users
from hydra_ray.training.user_lora.rows import TokenRow, UserRows

IGNORED = -100
"""Label of tokens that the loss leaves out."""


class PeftTrainer:
    """peft on a base, for as long as it is entered; afterwards the base is as it was."""

    def __init__(self, base: Decoder, config: LoraConfig, seed: int) -> None:
        """Raises UserError where peft is not installed."""
        self._base, self._config, self._seed = base, config, seed
        self._shape = shape_of(base.model, config.rank, config.alpha, config.targets)
        try:
            import peft
        except ImportError:
            raise UserError("bench lora: peft is not installed; pip install peft==0.21.2") from None
        self._settings = peft.LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,
            lora_dropout=0.0,
            target_modules=list(config.targets),
            task_type="CAUSAL_LM",
        )

    def __enter__(self) -> "PeftTrainer":
        import peft

        self._model: Any = peft.get_peft_model(self._base.model, self._settings)
        parameters = dict(self._model.named_parameters())
        self._weights = {name: parameters[f"base_model.model.{name}.default.weight"] for name in self._shape.arrays}
        return self

    def __exit__(self, *_: object) -> None:
        self._model.unload()
        self._base.model.requires_grad_(False)

    def train(self, user: UserRows) -> tuple[LoraWeights, list[float]]:
        """The user's weights after the last epoch, and each step's loss, nats a learned token."""
        from transformers import get_linear_schedule_with_warmup

        (plan,) = plan_users([user], self._config, self._seed)
        with torch.no_grad():
            for name, value in self._shape.initial(self._seed, user.user_id).items():
                self._weights[name].copy_(value)
        own, config = list(self._weights.values()), self._config
        optimizer = torch.optim.AdamW(own, lr=config.lr, weight_decay=config.weight_decay)
        rising = next(step for step in range(plan.steps + 1) if step >= plan.steps * config.warmup)
        schedule = get_linear_schedule_with_warmup(optimizer, rising, plan.steps)
        losses = [self._step(plan, step, own, optimizer, schedule) for step in range(plan.steps)]
        return {name: value.detach().clone() for name, value in self._weights.items()}, losses

    def _step(self, plan: UserPlan, step: int, own: Sequence[Tensor], optimizer: Any, schedule: Any) -> float:
        optimizer.zero_grad()
        loss = self._model(**padded([plan.learned[place] for place in plan.batch(step)])).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(own, self._config.clip)
        optimizer.step()
        schedule.step()
        return float(loss.detach())


def padded(rows: Sequence[TokenRow]) -> dict[str, Tensor]:
    """Rows as Hugging Face's models take them: padded on the right, with mask and labels, int64 [rows, longest]."""
    longest = max(len(row.ids) for row in rows)
    ids, mask = torch.zeros(len(rows), longest, dtype=torch.int64), torch.zeros(len(rows), longest, dtype=torch.int64)
    labels = torch.full((len(rows), longest), IGNORED)
    for b, row in enumerate(rows):
        ids[b, : len(row.ids)] = torch.tensor(row.ids)
        labels[b, row.prompt : len(row.ids)] = torch.tensor(row.ids[row.prompt :])
        mask[b, : len(row.ids)] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}
