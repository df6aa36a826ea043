"""A language model with other weights, as a folder that transformers and vLLM load."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hydra_ray.errors import UserError
from hydra_ray.models.model_folder import no_progress_bars
from hydra_ray.models.seq2seq import is_seq2seq, untied_heads

NOT_COPIED = (".safetensors", ".bin", ".index.json", ".pt", ".gguf")
"""Endings of the folder's files with weights, which the changed ones replace."""


@torch.no_grad()
def copy_model(folder: Path, change: Callable[[Any], None], out: Path) -> Path:
    """Writes a decoder or encoder-decoder LM after `change`; the folder itself stays as it is.

    Weights keep the format that they have there. Whatever else lies in the folder, such as the tokenizer, is copied.

    Args:
        folder: As `save_pretrained` writes it.
        change: Changes the model's weights in place.
        out: A folder that is not there yet; it appears once it is complete.

    Raises:
        UserError: `out` is there already.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    if out.exists():
        raise UserError(f"{out} is there already; remove it, or give another folder for the changed model")
    part = out.with_name(f"{out.name}.{os.getpid()}.tmp")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        for file in folder.iterdir():
            if file.is_file() and not file.name.startswith(".") and not file.name.endswith(NOT_COPIED):
                shutil.copyfile(file, part / file.name)
        kind = AutoModelForSeq2SeqLM if is_seq2seq(folder) else AutoModelForCausalLM
        with no_progress_bars(), untied_heads():
            model = kind.from_pretrained(str(folder), local_files_only=True, dtype="auto")
        change(model)
        with no_progress_bars():
            model.save_pretrained(str(part))
        part.rename(out)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return out
