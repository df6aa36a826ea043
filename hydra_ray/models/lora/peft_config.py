"""The configuration in PEFT's folder of a LoRA, `adapter_config.json`. Needs no torch.

What it can say beyond plain LoRA on linear layers (biases, DoRA, rank-stabilised scaling, ranks of single layers,
further modules) is refused.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra_ray.errors import UserError

CONFIG = "adapter_config.json"

PLAIN: dict[str, tuple[Any, ...]] = {
    "bias": ("none", None),
    "use_dora": (False, None),
    "use_rslora": (False, None),
    "fan_in_fan_out": (False, None),
    "modules_to_save": (None, []),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "layers_to_transform": (None, []),
    "target_parameters": (None, []),
    "exclude_modules": (None, []),
    "trainable_token_indices": (None, []),
}
"""Key of the configuration -> values that leave it plain LoRA."""


def read_config(folder: Path) -> Mapping[str, Any]:
    """The configuration, once it is known to be plain LoRA. Raises UserError if it is not, or cannot be read."""
    file = folder / CONFIG
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder}: no LoRA there ({CONFIG} is missing); correct the path") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read ({error}); write the LoRA again") from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise UserError(f"{file}: peft_type is not LORA; only LoRA is read here")
    for name, plain in PLAIN.items():
        if config.get(name, plain[0]) not in plain:
            raise UserError(f"{file}: {name}={config[name]!r} is more than plain LoRA, which alone is read here; train "
                            "without it")  # fmt: skip
    kinds = {"r": int, "lora_alpha": (int, float), "target_modules": list}
    for name, kind in kinds.items():
        if not isinstance(config.get(name), kind) or not config[name]:  # type: ignore[arg-type]
            raise UserError(f"{file}: {name} is {config.get(name)!r}; give r and lora_alpha above zero, and "
                            "target_modules as a list of layers' names")  # fmt: skip
    return config
