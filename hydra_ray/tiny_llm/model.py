"""The network, its loss and the deep supervision that makes it learn to choose an example within minutes.

Shapes: B documents, T tokens, N documents' answers in all, D width.
"""

from collections.abc import Sequence as Seq
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


class Batch:
    """Documents of a step as tensors, padded on the right (which a causal model never looks at).

    ids, targets: [B, T]; is_answer: [B, T]. asks, tells: [N, 2] (row, position) of the answers that carry a hint.
    values: [N, A] value per aspect; aspect: [N]; decided: [N] aspect * V + value of the decisive
    aspect. slots: [B]; later: [B, T], the answers' targets that come after a first answer. task: whose hints.
    """

    def __init__(self, documents: Seq[Document], tokens: Seq[Tokens], pad: int) -> None:
        width = -(-max(len(t.ids) for t in tokens) // 16) * 16
        self.ids = torch.full((len(tokens), width), pad)
        self.targets = torch.full((len(tokens), width), IGNORE)
        self.is_answer = torch.zeros((len(tokens), width), dtype=torch.bool)
        self.later = torch.zeros((len(tokens), width), dtype=torch.bool)
        self.slots = torch.tensor([document.hints[0].slot if document.hints else 0 for document in documents])
        asks, tells, values, aspects = [], [], [], []
        for row, (document, t) in enumerate(zip(documents, tokens, strict=True)):
            self.ids[row, : len(t.ids)] = torch.tensor(t.ids)
            self.targets[row, : len(t.ids)] = torch.tensor(t.targets)
            self.is_answer[row, : len(t.ids)] = torch.tensor(t.is_answer)
            if len(t.asks) > 1:
                self.later[row, t.asks[1] :] = self.is_answer[row, t.asks[1] :]
            for ask, tell, hint in zip(t.asks, t.tells, document.hints, strict=False):
                asks.append((row, ask))
                tells.append((row, tell))
                values.append(hint.values)
                aspects.append(hint.aspect)
        self.task = documents[0].kind.removeprefix("synthetic_") if values else ""
        self.asks, self.tells = torch.tensor(asks), torch.tensor(tells)
        self.values, self.aspect = torch.tensor(values), torch.tensor(aspects)


class Hints(nn.Module):
    """Linear read-outs of inner layers, used while training and then thrown away.

    Where an answer is asked for (the label's token), layer 2 must know every aspect's value of the text, the layer
    before the last which aspect decides and which value it has. Where an answer has been told, layer 3 must know
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
        """The losses by name. layers: hidden states [B, T, D] after 0, 1, 2... layers."""
        _, values = self.sizes[batch.task]

        def at(layer: int, where: Tensor) -> Tensor:
            return F.rms_norm(layers[layer][where[:, 0], where[:, 1]].float(), layers[layer].shape[-1:])

        decided = batch.aspect * values + batch.values.gather(1, batch.aspect[:, None])[:, 0]
        read = self.read[batch.task](at(self.read_layer, batch.asks)).view(-1, values)
        told = self.told[batch.task](at(self.told_layer, batch.tells))
        wanted = self.wanted[batch.task](at(self.wanted_layer, batch.asks))
        losses = {
            "read": F.cross_entropy(read, batch.values.reshape(-1)),
            "told": F.cross_entropy(told, decided),
            "wanted": F.cross_entropy(wanted, decided),
        }
        if batch.task == "headline" and batch.later.any():
            where = batch.later.nonzero()
            losses["slot"] = F.cross_entropy(self.slot(at(self.read_layer, where)), batch.slots[where[:, 0]])
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
    if hint_weight and batch.task:
        for name, hint in hints(output.hidden_states, batch).items():
            loss = loss + hint_weight / 3 * hint
            parts[name] = float(hint.detach())
    return loss, parts
