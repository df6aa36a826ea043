"""Rows in, answers out: one call of transformers' `generate` for a batch.

Shapes: B rows, P different prompts of theirs, T tokens of the longest, D numbers of a hidden state.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from hydra_ray.config import LLMConfig
from hydra_ray.config.resources import Placement
from hydra_ray.errors import UserError
from hydra_ray.llm.model_id import weights_source
from hydra_ray.llm.seq2seq.rows import PromptRow, RowAnswer
from hydra_ray.models.seq2seq import load_seq2seq
from hydra_ray.utils.cpu import usable_cores
from hydra_ray.utils.device import halved_once, worker_device

TOKENS_OF_THE_MODEL = (
    "decoder_start_token_id", "bos_token_id", "eos_token_id", "pad_token_id", "forced_bos_token_id",
    "forced_eos_token_id",
)  # fmt: skip
"""What is read of the weights' own generation settings. The others are left: each request says how it is answered."""


class Seq2SeqGenerator:
    """The loaded weights of `llm.serve.source`, which answer. For one thread, the one that makes it."""

    def __init__(self, cfg: LLMConfig, wanted: Placement) -> None:
        """wanted: what the process may use. Raises UserError: the weights cannot be used, or there is no GPU."""
        from transformers import GenerationConfig

        serve = cfg.serve
        self._device = worker_device(wanted.num_gpus)
        if not wanted.num_gpus:  # Ray gives a worker one thread that reserves no CPU
            torch.set_num_threads(serve.threads or int(wanted.num_cpus) or usable_cores())
        found = load_seq2seq(weights_source(serve.source), dtype_named(serve.dtype), self._device)
        if found.longest is not None and serve.max_model_len > found.longest:
            raise UserError(f"llm.serve.max_model_len={serve.max_model_len}: the LLM reads {found.longest} tokens at "
                            f"most: set llm.serve.max_model_len={found.longest} or less")  # fmt: skip
        self._model, self._tokenizer, self._top_p = found.model, found.tokenizer, cfg.top_p
        own = self._model.generation_config
        kept = {name: getattr(own, name, None) for name in TOKENS_OF_THE_MODEL}
        for name, value in (
            ("decoder_start_token_id", self._model.config.decoder_start_token_id),
            ("eos_token_id", self._tokenizer.eos_token_id),
        ):
            kept[name] = value if kept[name] is None else kept[name]
        ends = kept["eos_token_id"]
        self._ends = frozenset(ends if isinstance(ends, list) else [ends])
        self._pad: int = min(self._ends) if own.pad_token_id is None else own.pad_token_id
        kept["pad_token_id"] = self._pad
        self._model.generation_config = GenerationConfig(**kept)

    def encode(self, text: str) -> tuple[int, ...]:
        """The encoder's input of a prompt."""
        return tuple(self._tokenizer(text)["input_ids"])

    def answers(self, rows: Sequence[PromptRow]) -> list[RowAnswer]:
        """One answer a row, in order; all rows have the same `beams` and `max_tokens`.

        Raises UserError where memory runs out even with half of them.
        """
        return halved_once(partial(self._answers), rows, self._device, "lower llm.serve.max_num_seqs")

    @torch.inference_mode()
    def _answers(self, rows: Sequence[PromptRow]) -> list[RowAnswer]:
        from transformers import LogitsProcessorList
        from transformers.modeling_outputs import BaseModelOutput

        from hydra_ray.llm.seq2seq.row_sampler import RowSampler

        place = {ids: p for p, ids in enumerate(dict.fromkeys(row.ids for row in rows))}
        ids_PT = torch.full((len(place), max(map(len, place))), self._pad)
        mask_PT = torch.zeros_like(ids_PT)
        for ids, p in place.items():
            ids_PT[p, : len(ids)] = torch.tensor(ids)
            mask_PT[p, : len(ids)] = 1
        ids_PT, mask_PT = ids_PT.to(self._device), mask_PT.to(self._device)
        # A prompt that several samples are drawn for is read once.
        hidden_PTD = self._model.get_encoder()(input_ids=ids_PT, attention_mask=mask_PT).last_hidden_state
        place_B = torch.tensor([place[row.ids] for row in rows], device=self._device)
        out = self._model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=hidden_PTD[place_B]),
            attention_mask=mask_PT[place_B],
            max_new_tokens=rows[0].max_tokens,
            num_beams=rows[0].beams,
            do_sample=False,
            logits_processor=LogitsProcessorList([RowSampler(rows, self._top_p)]),
        )
        return [self._read(tokens) for tokens in out[:, 1:].tolist()]  # the first begins every answer

    def _read(self, tokens: list[int]) -> RowAnswer:
        """tokens: of an answer, padded behind its end."""
        end = next((i for i, token in enumerate(tokens) if token in self._ends), None)
        kept = tokens if end is None else tokens[: end + 1]
        text = str(self._tokenizer.decode(kept, skip_special_tokens=True))
        if not text.strip():
            return RowAnswer("", len(kept), "empty")
        return RowAnswer(text, len(kept), "length" if end is None else "stop")


def dtype_named(name: str) -> torch.dtype:
    """PyTorch's number format, such as `bfloat16`. Raises UserError for a name that is none of weights."""
    found: Any = getattr(torch, name, None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise UserError(f"llm.serve.dtype={name}: no number format of weights: give float32, bfloat16 or float16")
    return found
