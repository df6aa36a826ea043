"""One user trained by peft: the rows in the same order, PyTorch's AdamW and Hugging Face's schedule."""

from collections.abc import Callable
from typing import Any

import torch
from transformers import get_linear_schedule_with_warmup

from hydra_ray.config.lora import LoraConfig
from hydra_ray.models.lora.decoder import Decoder
from hydra_ray.models.lora.shape import LoraWeights, shape_of
from hydra_ray.training.user_lora.plan import plan_users
from hydra_ray.training.user_lora.rows import TokenRow, UserRows


def wrapped(base: Decoder, config: LoraConfig) -> Any:
    """The base with peft's adapter named `default` on it."""
    from peft import LoraConfig as PeftConfig
    from peft import get_peft_model

    settings = PeftConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=0.0,
        target_modules=list(config.targets),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(base.model, settings)


def arrays(model: Any, shape_names: list[str]) -> dict[str, torch.nn.Parameter]:
    """peft's parameters by our names."""
    own = dict(model.named_parameters())
    return {name: own[f"base_model.model.{name}.default.weight"] for name in shape_names}


def padded(rows: list[TokenRow], pad: int) -> dict[str, torch.Tensor]:
    """Padded on the right, with a mask, labels -100 where nothing is learned."""
    longest = max(len(row.ids) for row in rows)
    ids, labels = torch.full((len(rows), longest), pad), torch.full((len(rows), longest), -100)
    mask = torch.zeros(len(rows), longest, dtype=torch.int64)
    for b, row in enumerate(rows):
        ids[b, : len(row.ids)] = torch.tensor(row.ids)
        labels[b, row.prompt : len(row.ids)] = torch.tensor(row.ids[row.prompt :])
        mask[b, : len(row.ids)] = 1
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}


def train_alone(
    base: Decoder, user: UserRows, config: LoraConfig, seed: int, look: Callable[[Any], None] | None = None
) -> tuple[LoraWeights, list[float]]:
    """The user's weights after training, and the loss of each step. look: is shown peft's model at the end."""
    (plan,) = plan_users([user], config, seed)
    initial = shape_of(base.model, config.rank, config.alpha, config.targets).initial(seed, user.user_id)
    model = wrapped(base, config)
    try:
        weights = arrays(model, list(initial))
        with torch.no_grad():
            for name, value in initial.items():
                weights[name].copy_(value)
        optimizer = torch.optim.AdamW(list(weights.values()), lr=config.lr, weight_decay=config.weight_decay)
        schedule = get_linear_schedule_with_warmup(optimizer, -(-plan.steps // 10), plan.steps)
        losses = []
        for step in range(plan.steps):
            optimizer.zero_grad()
            loss = model(**padded([plan.learned[place] for place in plan.batch(step)], 2)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(list(weights.values()), config.clip)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        if look:
            look(model)
        return {name: value.detach().clone() for name, value in weights.items()}, losses
    finally:
        model.unload()
        base.model.requires_grad_(False)
