"""A trained tiny LLM as a folder that transformers and vLLM serve, and where the package's own one lies."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from hydra_ray.errors import UserError
from hydra_ray.tiny_llm.config import TinyLLMConfig

WEIGHTS = Path(__file__).parent / "weights"
FILES = (
    "model.safetensors",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "manifest.json",
)
COMMAND = "hydra-ray tiny-llm train --config configs/tiny_llm.yaml --out DIR"


def embedded_path() -> Path:
    """The folder with the package's own tiny LLM. Raises UserError if it was installed without."""
    if not (WEIGHTS / "model.safetensors").exists():
        raise UserError(f"{WEIGHTS}: this installation carries no weights; train them: {COMMAND}")
    return WEIGHTS


def export(
    llama: Any, tokenizer: Any, config: TinyLLMConfig, out: Path, seconds: float, figures: dict[str, Any]
) -> None:
    """Write weights (fp16 safetensors), model and generation config, tokenizer with chat template, and a manifest.

    seconds: training time so far. figures: behaviour as measured, by condition.
    """
    state = {
        name: tensor.detach().to(torch.float16).contiguous()
        for name, tensor in llama.state_dict().items()
        if name != "lm_head.weight"
    }
    save_file(state, str(out / "model.safetensors"), metadata={"format": "pt"})
    model_config = {
        **json.loads(llama.config.to_json_string()),
        "architectures": ["LlamaForCausalLM"],
        "dtype": "float16",
    }
    (out / "config.json").write_text(json.dumps(model_config, indent=2) + "\n")
    generation = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    (out / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    (out / "model.safetensors").chmod(0o644)
    tokenizer.backend_tokenizer.no_padding()  # measuring left its own padding on
    tokenizer.save_pretrained(str(out))
    tidy_tokenizer_config(out)
    manifest = {
        "command": COMMAND,
        "config": config.model_dump(mode="json"),
        "parameters": sum(p.numel() for p in llama.parameters()),
        "steps": config.steps,
        "seed": config.seed,
        "training_minutes": round(seconds / 60, 1),
        "behaviour": figures,
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def tidy_tokenizer_config(folder: Path) -> None:
    """Move the chat template from its own file into `tokenizer_config.json`, where every server finds it, and drop what
    says how this process loaded the tokenizer."""
    path, template = folder / "tokenizer_config.json", folder / "chat_template.jinja"
    settings = json.loads(path.read_text())
    for name in ("is_local", "local_files_only"):
        settings.pop(name, None)
    if template.exists():
        settings["chat_template"] = template.read_text()
        template.unlink()
    path.write_text(json.dumps(settings, indent=2) + "\n")
