"""The network, its loss and the deep supervision that makes it learn to choose an example within minutes.

Shapes: B documents, T tokens, N documents' answers in all, D width.
"""

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from hydra_ray.synth.headline_words import SLOTS
from hydra_ray.synth.world import MAKERS
from hydra_ray.tiny_llm.config import ShapeConfig, TinyLLMConfig
from hydra_ray.tiny_llm.sequence import IGNORE, Document, Tokens


def new_llama(shape: ShapeConfig, tokenizer: Any) -> Any:
    """An untrained Llama for this tokenizer, in fp32."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=shape.feedforward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        head_dim=shape.width // shape.heads,
        max_position_embeddings=shape.window,
        tie_word_embeddings=True,
        initializer_range=0.05,
        rms_norm_eps=1e-5,
        attn_implementation="sdpa",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


@dataclass(frozen=True, slots=True)
class Known:
    """What the generator knows of one task's answers in a batch.

    asks, tells: [N, 2] (row, position) of where an answer is asked for and where it has been given. values: [N, A]
    value per aspect. decided: [N] aspect * V + value of the decisive aspect. later: [M, 2] positions that predict a
    token of an answer that is not a person's first. slots: [M], of the person.
    """

    asks: Tensor
    tells: Tensor
    values: Tensor
    decided: Tensor
    later: Tensor
    slots: Tensor


class Batch:
    """Documents of a step as tensors, padded on the right (which a causal model never looks at).

    ids, targets: [B, T]; is_answer: [B, T]. known: by synthetic task, for documents that carry hints.
    """

    def __init__(self, documents: Seq[Document], tokens: Seq[Tokens], pad: int) -> None:
        width = -(-max(len(t.ids) for t in tokens) // 16) * 16
        self.ids = torch.full((len(tokens), width), pad)
        self.targets = torch.full((len(tokens), width), IGNORE)
        self.is_answer = torch.zeros((len(tokens), width), dtype=torch.bool)
        for row, t in enumerate(tokens):
            self.ids[row, : len(t.ids)] = torch.tensor(t.ids)
            self.targets[row, : len(t.ids)] = torch.tensor(t.targets)
            self.is_answer[row, : len(t.ids)] = torch.tensor(t.is_answer)
        rows: dict[str, list[int]] = {}
        for row, document in enumerate(documents):
            if document.hints:
                rows.setdefault(document.kind.removeprefix("synthetic_"), []).append(row)
        self.known = {task: _known(task, chosen, documents, tokens) for task, chosen in rows.items()}


def _known(task: str, rows: Seq[int], documents: Seq[Document], tokens: Seq[Tokens]) -> Known:
    """The hints of the documents in `rows`, all of one task."""
    asks, tells, hints, later, slots = [], [], [], [], []
    for row in rows:
        t = tokens[row]
        for ask, tell, hint in zip(t.asks, t.tells, documents[row].hints, strict=False):
            asks.append((row, ask))
            tells.append((row, tell))
            hints.append(hint)
        positions = [p for p in range(t.asks[1], len(t.ids)) if t.is_answer[p]] if len(t.asks) > 1 else []
        later += [(row, position) for position in positions]
        slots += [documents[row].hints[0].slot] * len(positions)
    values = torch.tensor([hint.values for hint in hints])
    decided = torch.tensor([hint.aspect * MAKERS[task]().values + hint.values[hint.aspect] for hint in hints])
    return Known(torch.tensor(asks), torch.tensor(tells), values, decided, torch.tensor(later), torch.tensor(slots))


class Hints(nn.Module):
    """Linear read-outs of inner layers, used while training and then thrown away.

    Where an answer is asked for (the label's token), layer 2 must know every aspect's value of the text, the layer
    before the last which aspect decides and which value it has. Where an answer has been given, layer 3 must know
    the value that decided it. While a headline is written (not a person's first one), layer 2 must know on which of the
    text's phrases this person builds headlines.
    """

    def __init__(self, shape: ShapeConfig) -> None:
        super().__init__()
        self.sizes = {name: (maker().aspects, maker().values) for name, maker in MAKERS.items()}
        self.read_layer = min(2, shape.layers)
        self.told_layer = min(3, shape.layers)
        self.wanted_layer = max(shape.layers - 1, 1)
        outputs = {name: a * v for name, (a, v) in self.sizes.items()}
        self.read = nn.ModuleDict({name: nn.Linear(shape.width, size) for name, size in outputs.items()})
        self.told = nn.ModuleDict({name: nn.Linear(shape.width, size) for name, size in outputs.items()})
        self.wanted = nn.ModuleDict({name: nn.Linear(shape.width, size) for name, size in outputs.items()})
        self.slot = nn.Linear(shape.width, len(SLOTS))

    def forward(self, layers: Seq[Tensor], batch: Batch) -> dict[str, Tensor]:
        """The losses by name, means over the answers. layers: hidden states [B, T, D] after each layer."""

        def at(layer: int, where: Tensor) -> Tensor:
            return F.rms_norm(layers[layer][where[:, 0], where[:, 1]].float(), layers[layer].shape[-1:])

        losses: dict[str, Tensor] = {}
        total = sum(len(known.asks) for known in batch.known.values())
        for task, known in batch.known.items():
            share = len(known.asks) / total
            read = self.read[task](at(self.read_layer, known.asks)).view(-1, self.sizes[task][1])
            told = self.told[task](at(self.told_layer, known.tells))
            wanted = self.wanted[task](at(self.wanted_layer, known.asks))
            for name, loss in (
                ("read", F.cross_entropy(read, known.values.reshape(-1))),
                ("told", F.cross_entropy(told, known.decided)),
                ("wanted", F.cross_entropy(wanted, known.decided)),
            ):
                losses[name] = losses.get(name, torch.zeros(())) + share * loss
            if task == "headline" and len(known.later):
                losses["slot"] = share * F.cross_entropy(self.slot(at(self.read_layer, known.later)), known.slots)
        return losses


def loss_of(
    llama: Any, hints: Hints, batch: Batch, config: TinyLLMConfig, hint_weight: float, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """The training loss and its parts: answers (weight 1), other tokens (a random share of them), hints."""
    output = llama.model(batch.ids, use_cache=False, output_hidden_states=hint_weight > 0)
    hidden = output.last_hidden_state

    def entropy(chosen: Tensor) -> Tensor:
        return F.cross_entropy(llama.lm_head(hidden[chosen]).float(), batch.targets[chosen])

    answers = entropy(batch.is_answer)
    parts = {"answers": float(answers.detach())}
    loss = answers
    if config.text_weight and config.text_share:
        other = (batch.targets != IGNORE) & ~batch.is_answer
        other &= torch.rand(other.shape, generator=generator) < config.text_share
        text = entropy(other)
        loss = loss + config.text_weight * text
        parts["text"] = float(text.detach())
    if hint_weight and batch.known:
        for name, hint in hints(output.hidden_states, batch).items():
            loss = loss + hint_weight / 3 * hint
            parts[name] = float(hint.detach())
    return loss, parts
