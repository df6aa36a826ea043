"""Trains the tiny LLM: `run(config, out)`, one process, resumes from its last checkpoint."""

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hydra_ray.errors import UserError
from hydra_ray.tiny_llm.config import StageConfig, TinyLLMConfig
from hydra_ray.tiny_llm.export import export
from hydra_ray.tiny_llm.model import Batch, Hints, loss_of, new_llama
from hydra_ray.tiny_llm.sequence import tokenise
from hydra_ray.tiny_llm.source import DocumentSource, lines_of, source_of
from hydra_ray.tiny_llm.tokenizer import load_tokenizer, train_tokenizer
from hydra_ray.utils.atomic_io import write_atomically

CHECKPOINT = "checkpoint.pt"
_TOKENIZER = "tokenizer"
_LINE_EVERY = 50
_FLOOR = 0.05
_PROBE = 100
_FINAL_PROBE = 200

Log = Callable[[str], None]


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def stage_at(config: TinyLLMConfig, step: int) -> StageConfig:
    """The stage of the curriculum that `step` is in; shares are taken relative to their sum."""
    at = (step + 0.5) / config.steps * sum(stage.share for stage in config.stages)
    for stage in config.stages:
        at -= stage.share
        if at < 0:
            return stage
    return config.stages[-1]


def lr_at(config: TinyLLMConfig, step: int) -> float:
    """Linear warm-up, then cosine down to a twentieth."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / config.steps))
    return config.lr * min(1.0, (step + 1) / config.warmup) * (_FLOOR + (1 - _FLOOR) * cosine)


class _Trainer:
    """Model, optimiser and step count of one training, and their checkpoint."""

    def __init__(self, config: TinyLLMConfig, source: DocumentSource, tokenizer: Any, out: Path) -> None:
        torch.manual_seed(config.seed)
        self.config, self.source, self.tokenizer, self.out = config, source, tokenizer, out
        self.llama = new_llama(config.shape, tokenizer)
        self.hints = Hints(config.shape)
        self.parameters = [*self.llama.parameters(), *self.hints.parameters()]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=config.lr, betas=(0.9, 0.95), weight_decay=config.weight_decay
        )
        self.step = 0
        self.seconds = 0.0

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "config": self.config.model_dump(mode="json"),
            "step": self.step,
            "seconds": self.seconds,
            "llama": self.llama.state_dict(),
            "hints": self.hints.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        with write_atomically(self.out / CHECKPOINT) as part:
            torch.save(state, part)

    def load(self) -> bool:
        """Go on from the checkpoint in `out` if there is one. Raises UserError if it is of another configuration."""
        path = self.out / CHECKPOINT
        if not path.exists():
            return False
        state = torch.load(path, weights_only=True)
        if state["config"] != self.config.model_dump(mode="json"):
            raise UserError(f"{path}: begun with other settings; give another folder or remove this file")
        self.step, self.seconds = state["step"], state["seconds"]
        self.llama.load_state_dict(state["llama"])
        self.hints.load_state_dict(state["hints"])
        self.optimizer.load_state_dict(state["optimizer"])
        return True

    def one_step(self) -> dict[str, float]:
        """Train on the documents of the current step; they and all randomness depend on config and step alone."""
        config = self.config
        stage = stage_at(config, self.step)
        documents = self.source.documents(stage, self.step)
        tokens = tokenise(documents, self.tokenizer, config.shape.window)
        batch = Batch(documents, tokens, self.tokenizer.pad_token_id)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = lr_at(config, self.step)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.bf16):
            loss, parts = loss_of(self.llama, self.hints, batch, config, stage.hints, generator)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.step += 1
        return parts


def _tokenizer_in(out: Path, source: DocumentSource, config: TinyLLMConfig) -> Any:
    folder = out / _TOKENIZER
    if not (folder / "tokenizer.json").exists():
        shape = config.shape
        train_tokenizer(source.texts(), shape.vocab, shape.window, source.whole_words).save_pretrained(str(folder))
    return load_tokenizer(folder)


def train_tiny_llm(
    config: TinyLLMConfig, out: Path, source: DocumentSource | None = None, log: Log = _log, stop_at: int | None = None
) -> Path:
    """Train and write a servable model into the folder `out`; its path is returned.

    source: where documents come from (default: what the config says). A training that was killed goes on from its
    last checkpoint in `out`, and ends with the same weights as one that was not. stop_at: leave after that many steps
    with a checkpoint and no model (for tests). Raises UserError if `out` holds a training with other settings.
    """
    torch.set_num_threads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    source = source or source_of(config)
    trainer = _Trainer(config, source, _tokenizer_in(out, source, config), out)
    if trainer.load():
        log(f"going on from step {trainer.step} of {config.steps}")
    size = sum(p.numel() for p in trainer.llama.parameters())
    log(f"{size:,} parameters, {len(trainer.tokenizer):,} tokens in the vocabulary, {config.steps:,} steps")
    begun, from_step, before = time.monotonic(), trainer.step, trainer.seconds
    sums: dict[str, list[float]] = {}
    while trainer.step < config.steps:
        for name, value in trainer.one_step().items():
            sums.setdefault(name, []).append(value)
        spent = time.monotonic() - begun
        trainer.seconds = before + spent
        if trainer.step % _LINE_EVERY == 0 or trainer.step == config.steps:
            left = spent / (trainer.step - from_step) * (config.steps - trainer.step)
            losses = " ".join(f"{name} {sum(values) / len(values):.3f}" for name, values in sums.items())
            log(f"step {trainer.step}/{config.steps}  {losses}  {trainer.seconds:.0f} s, {left:.0f} s to go")
            sums = {}
        if trainer.step % config.checkpoint_every == 0 or trainer.step == stop_at:
            trainer.save()
        if trainer.step == stop_at:
            return out
        if trainer.step % config.probe_every == 0 and trainer.step < config.steps:
            for line in lines_of(source.behaviour(trainer.llama, trainer.tokenizer, _PROBE)):
                log(line)
    trainer.save()
    figures = source.behaviour(trainer.llama, trainer.tokenizer, _FINAL_PROBE)
    for line in lines_of(figures):
        log(line)
    export(trainer.llama, trainer.tokenizer, config, out, trainer.seconds, figures)
    return out


def run(config: TinyLLMConfig, out: Path) -> None:
    """`hydra-ray tiny-llm train --config FILE --out DIR`."""
    _log(f"written: {train_tiny_llm(config, out)}")
