"""The engine around the base, DeepSpeed's or a plain one: ZeRO stage and the optimiser's parameter groups."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hydra_ray.config import TrainConfig
from hydra_ray.errors import UserError
from hydra_ray.training.joint.replicated_engine import MAX_NORM, ReplicatedEngine


def deepspeed_config(config: TrainConfig, device: torch.device, stage: int) -> dict[str, Any]:
    """DeepSpeed's JSON for `train`: ZeRO stage, offload, accumulation. All weights are fp32 (see
    `PairScorer.precision`)."""
    pinned = device.type != "cpu"
    zero: dict[str, Any] = {"stage": stage}
    if config.offload != "none":
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": pinned}
    if config.offload == "parameters":
        zero["offload_param"] = {"device": "cpu", "pin_memory": pinned}
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        # Torch's AdamW also where the state lies on the CPU: DeepSpeed's own would be compiled first.
        "zero_force_ds_cpu_optimizer": False,
        "gradient_clipping": MAX_NORM,
        "steps_per_print": 10**9,
        "wall_clock_breakdown": False,
    }


def base_bytes(base: nn.Module, config: TrainConfig, device: torch.device) -> int:
    """What training the base will take where it computes: weights, gradients and AdamW's two moments.

    On a CPU the weights are there already, and nothing can be moved away.
    """
    trained = sum(p.numel() for p in base.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in base.parameters() if not p.requires_grad)
    if device.type == "cpu":
        return 12 * trained
    return {"none": 16, "optimizer": 8, "parameters": 0}[config.offload] * trained + 4 * frozen


def check_fits(base: nn.Module, config: TrainConfig, device: torch.device, free: int, encoder: str) -> int:
    """`base_bytes`. Raises UserError where so many free bytes do not hold them. encoder: its name."""
    needed = base_bytes(base, config, device)
    if needed <= free:
        return needed
    trained = sum(p.numel() for p in base.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in base.parameters()) - trained
    place, advice = "a training worker's part of its node's memory", "fewer resources.train workers on a node"
    if device.type != "cpu":
        place, advice = "a device", "train.offload=optimizer (8 bytes a trained parameter in place of 16), a larger GPU"
    raise UserError(
        f"model.encoder={encoder}: {trained:,} trained and {frozen:,} frozen parameters take "
        f"{needed / 1e9:.2f} GB of {place} with {free / 1e9:.2f} GB left: {advice}, model.freeze_encoder=true or a "
        "smaller encoder"
    )


@contextmanager
def scaled_lr(engine: Any, share: float) -> Iterator[None]:
    """The engine's learning rates are this share of what they are; 0: a step in here changes nothing."""
    groups = engine.optimizer.param_groups
    rates = [group["lr"] for group in groups]
    for group in groups:
        group["lr"] *= share
    try:
        yield
    finally:
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate


def sum_over_workers(values: Tensor, device: torch.device, world: int) -> Tensor:
    """The sum over so many workers, float64, on every one of them."""
    summed = values.to(device, torch.float64)
    if world > 1:
        torch.distributed.all_reduce(summed)
    return summed


def agree(due: bool, device: torch.device, world: int) -> bool:
    """Rank 0's view, on every one of so many workers."""
    flag = torch.tensor([float(due)], device=device)
    if world > 1:
        torch.distributed.broadcast(flag, src=0)
    return bool(flag.item())


def make_engine(base: nn.Module, config: TrainConfig, device: torch.device) -> Any:
    """A DeepSpeedEngine over the base's trainable parameters, those of its `encoder` at a rate of their own; or, where
    `train.zero_stage` is not set and no encoder is trained, or by one worker, a `ReplicatedEngine`. Call in a worker
    whose process group is up."""
    encoder = [p for name, p in base.named_parameters() if p.requires_grad and name.startswith("encoder.")]
    rest = [p for name, p in base.named_parameters() if p.requires_grad and not name.startswith("encoder.")]
    rates = ((rest, config.base_lr), (encoder, config.encoder_lr))
    groups = [{"params": parameters, "lr": rate} for parameters, rate in rates if parameters]
    stage = config.stage(encoder_trained=bool(encoder), workers=torch.distributed.get_world_size())
    if stage is None:
        base.to(device)
        fused = torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=True)
        return ReplicatedEngine(base, fused, config.gradient_accumulation_steps)
    import deepspeed
    from deepspeed import ops

    if device.type == "cpu":
        # The shared-memory collective compiles for half a minute and gloo does the job.
        ops.__compatible_ops__["deepspeed_shm_comm"] = False
    # The client's own optimiser: DeepSpeed's "AdamW" would compile FusedAdam first.
    optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    engine, _, _, _ = deepspeed.initialize(
        model=base,
        optimizer=optimizer,
        config=deepspeed_config(config, device, stage),
        dist_init_required=False,
    )
    return engine
