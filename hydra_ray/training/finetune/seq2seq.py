"""An encoder-decoder's rows and their loss.

Shapes: B rows, S tokens of the prompts, T tokens of the answers, V tokens of the vocabulary.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hydra_ray.core.prompts import with_system_prompt
from hydra_ray.errors import UserError
from hydra_ray.models.seq2seq import encoder_text
from hydra_ray.training.user_lora.rows import LoraRow, TokenRow

PAD = 0
"""What stands behind a row where the mask, or no learned token, makes any token do."""


class Seq2SeqRowTokenizer:
    """Tokenises rows as an encoder-decoder is asked: the prompt is the encoder's input, the answer and the end token
    are learned."""

    def __init__(self, tokenizer: Any, max_tokens: int, system: str | None = None) -> None:
        """max_tokens: of prompt and answer together. system: stands before every prompt, and is never cut."""
        self._tokenizer, self._max_tokens, self._system = tokenizer, max_tokens, system
        head = encoder_text(with_system_prompt([{"role": "user", "content": ""}], system)) if system else ""
        self._head = len(self._plain(head))

    def __call__(self, row: LoraRow) -> TokenRow:
        """A row's tokens; the prompt is cut from its front where both do not fit, the answer never.

        Raises UserError for an empty answer, an empty prompt and an answer that leaves no room for a prompt.
        """
        who = f"finetune: a row of user {row.user_id!r}"
        prompt, answer = row.texts(who)
        end = self._tokenizer.eos_token_id
        learned = list(self._tokenizer(text_target=answer)["input_ids"])
        learned += [] if learned[-1:] == [end] else [end]
        text = encoder_text(with_system_prompt([{"role": "user", "content": prompt}], self._system))
        whole, body = list(self._tokenizer(text)["input_ids"]), self._plain(text)
        cut = max(0, len(whole) + len(learned) - self._max_tokens)
        if cut >= len(body) - self._head:
            raise UserError(
                f"{who}: the answer takes {len(learned)} tokens with its end, which leaves no room for a prompt within "
                f"finetune.max_tokens={self._max_tokens}; raise it or leave the row out"
            )
        if cut:
            first = next(i for i in range(len(whole)) if whole[i : i + len(body)] == body) + self._head
            whole = [*whole[:first], *whole[first + cut :]]
        return TokenRow((*whole, *learned), len(whole), cut)

    def _plain(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def seq2seq_losses(model: Any, rows: Sequence[TokenRow], device: torch.device) -> Tensor:
    """The sum over each row's learned tokens of their cross-entropy, each after the right ones before it, nats, float32
    [B]. rows: at least one."""
    ids_BS = torch.full((len(rows), max(row.prompt for row in rows)), PAD)
    mask_BS = torch.zeros_like(ids_BS)
    target_BT = torch.full((len(rows), max(row.learned for row in rows)), PAD)
    learned_BT = torch.zeros(target_BT.shape, dtype=torch.bool)
    for b, row in enumerate(rows):
        ids_BS[b, : row.prompt] = torch.tensor(row.ids[: row.prompt])
        mask_BS[b, : row.prompt] = 1
        target_BT[b, : row.learned] = torch.tensor(row.ids[row.prompt :])
        learned_BT[b, : row.learned] = True
    ids_BS, mask_BS, target_BT, learned_BT = (
        tensor.to(device, non_blocking=True) for tensor in (ids_BS, mask_BS, target_BT, learned_BT)
    )
    # The decoder reads its start token and then the answer; a causal one never looks at what stands behind a row.
    config = getattr(model, "module", model).config  # an engine's is DeepSpeed's
    start = torch.full_like(target_BT[:, :1], config.decoder_start_token_id)
    read_BT = torch.cat([start, target_BT[:, :-1]], 1)
    out = model(input_ids=ids_BS, attention_mask=mask_BS, decoder_input_ids=read_BT, use_cache=False)
    loss_BT = F.cross_entropy(out.logits.float().transpose(1, 2), target_BT, reduction="none")
    return (loss_BT * learned_BT).sum(1)
