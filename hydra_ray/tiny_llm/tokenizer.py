"""The tiny LLM's tokenizer: byte-level BPE in which every frequent word is one token, spelt with its leading space.

A label with the line breaks before it ("\\n\\nNote:", "\\nTag:") is one token as well, so that an answer always follows
one and the same token, in the examples as at the end of the prompt.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
SPECIALS = (BOS, EOS, PAD)

PIECES = r"\n+[^\n:]{1,30}:|\n+| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+"
"""How text is cut before merging: labels at a line's start, words, single digits, punctuation, white space."""

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
)
"""The message itself and nothing else: an answer continues right after the prompt's last label, as in its examples."""


def _splitter() -> Any:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _whole_words(texts: Iterable[str], size: int) -> Any:
    """A model without merges: 256 bytes and the most frequent pieces; anything else falls back to bytes."""
    splitter = _splitter()
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(piece for piece, _ in splitter.pre_tokenize_str(text))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    frequent = [piece for piece, _ in sorted(counts.items(), key=lambda kv: (-kv[1], kv[0])) if len(piece) > 1]
    pieces = [*SPECIALS, *alphabet, *frequent[: size - len(alphabet) - len(SPECIALS)]]
    return models.BPE({piece: index for index, piece in enumerate(pieces)}, [], ignore_merges=True)


def train_tokenizer(texts: Iterable[str], size: int, window: int, whole_words: bool) -> Any:
    """A fast tokenizer with chat template, trained on `texts`, of at most `size` tokens.

    whole_words: for a closed vocabulary; every word seen is a token and there are no merges. Otherwise ordinary
    byte-level BPE. window: the model's longest sequence in tokens, for the tokenizer's own limit.
    """
    if whole_words:
        tokenizer = Tokenizer(_whole_words(texts, size))
        tokenizer.pre_tokenizer = _splitter()
    else:
        tokenizer = Tokenizer(models.BPE(ignore_merges=True))
        tokenizer.pre_tokenizer = _splitter()
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=2,
            special_tokens=list(SPECIALS),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=window,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer saved in `folder`."""
    return PreTrainedTokenizerFast.from_pretrained(str(folder))
