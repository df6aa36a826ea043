"""The base's weights and optimiser state, whole: the same whatever ZeRO stage and number of workers they came from.

Rank 0 alone gets what is read: eight workers of a node would otherwise hold it eight times. Every rank must call the
functions all the same, since ZeRO gathers in them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's state of a parameter, besides its step count, which all of them share."""


def trainable(engine: Any) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters that training changes, by name, in the same order on every rank."""
    return ((name, p) for name, p in engine.module.named_parameters() if p.requires_grad)


def weights(engine: Any, *, copied: bool = False) -> dict[str, Tensor]:
    """Trainable parameters as float32 on the CPU.

    copied: They stay as they are; else they may be the engine's own, which its next step changes.
    """
    found = {}
    for name, parameter in trainable(engine):
        whole = _gathered(parameter)
        if _kept():
            value = parameter.detach() if whole is None else whole
            found[name] = value.to("cpu", torch.float32, copy=copied and whole is None)
    return found


def optimizer_state(engine: Any) -> dict[str, Tensor]:
    """AdamW's moments as float32 and its step count, as `weights`, the engine's own perhaps.

    Names: `exp_avg.PARAMETER`, `exp_avg_sq.PARAMETER`, `step`. Only after the first step.
    """
    inner = _linked(engine)
    found = {}
    for name, parameter in trainable(engine):
        for key in MOMENTS:
            whole = _gathered(parameter, key)
            if _kept():
                value = inner.state[parameter][key] if whole is None else whole
                found[f"{key}.{name}"] = value.to("cpu", torch.float32)
    return {**found, "step": _steps(inner)} if _kept() else {}


def load_optimizer_state(engine: Any, masters: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Puts whole float32 weights and optimiser state into an engine that has made at least one step; every rank.

    The engine's module must hold the same weights already, as far as its precision goes. Raises KeyError for a state of
    other parameters.
    """
    inner = _linked(engine)
    for name, parameter in trainable(engine):
        plain = parameter in inner.state
        if not plain:
            _put(parameter, masters[name].to(parameter.device), None)
        for key in MOMENTS:
            value = state[f"{key}.{name}"].to(parameter.device)
            if plain:
                inner.state[parameter][key].copy_(value)
            else:
                _put(parameter, value, key)
    for values in inner.state.values():
        values["step"].copy_(state["step"])


def _kept() -> bool:
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def _gathered(parameter: Any, key: str | None = None) -> Tensor | None:
    """A parameter's float32 master weight, or the state `key` of it, whole; None where ZeRO holds neither the parameter
    (stage 3) nor its master (1, 2) in parts."""
    if not (hasattr(parameter, "ds_id") or hasattr(parameter, "_hp_mapping")):
        return None
    from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

    whole: Tensor | None = (
        safe_get_full_fp32_param(parameter) if key is None else safe_get_full_optimizer_state(parameter, key)
    )
    return whole


def _put(parameter: Any, value: Tensor, key: str | None) -> None:
    """Sets a partitioned parameter's master weight, or the state `key` of it, from the whole value."""
    from deepspeed.utils import (
        safe_set_full_fp32_param,
        safe_set_full_optimizer_state,
        safe_set_local_fp32_param,
        safe_set_local_optimizer_state,
    )

    if hasattr(
        parameter, "ds_id"
    ):  # ZeRO 3; its own setter of whole values cannot do sizes that the ranks do not divide
        size, ranks = parameter.ds_tensor.numel(), torch.distributed.get_world_size()
        flat = nn.functional.pad(value.flatten(), (0, size * ranks - value.numel()))
        mine = flat.narrow(0, size * torch.distributed.get_rank(), size)
        if key is None:
            safe_set_local_fp32_param(parameter, mine)
        else:
            safe_set_local_optimizer_state(parameter, mine, key)
    elif key is None:
        safe_set_full_fp32_param(parameter, value)
    else:
        safe_set_full_optimizer_state(parameter, value, key)


def _linked(engine: Any) -> Any:
    """Torch's own optimiser under DeepSpeed's wrappers, its state reachable through every parameter."""
    optimizer = engine.optimizer
    if getattr(optimizer, "_hp_optimizer_states_linked", False):
        # DeepSpeed 0.19 links after the first parameter group's first step, when the other groups have no state yet.
        optimizer._hp_optimizer_states_linked = False
        optimizer._lazy_init_hp_params_optimizer_state()
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    return optimizer


def _steps(inner: Any) -> Tensor:
    for values in inner.state.values():
        count: Tensor = values["step"].detach().to("cpu", torch.float32)
        return count
    return torch.zeros(())
