"""The tokenizer."""

from hydra_ray.tiny_llm.probe import CONDITIONS, probes
from hydra_ray.tiny_llm.source import SyntheticSource
from hydra_ray.tiny_llm.tokenizer import train_tokenizer
from tests.tiny_llm.documents import CONFIG


def test_any_text_survives_the_tokenizer(tokenizer: object) -> None:
    for text in ("Zürich 東京 \U0001f600\n\ttabs  and   spaces", "\nTag: heron", "unheardof words-with: 12,345.6 %"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]  # type: ignore[operator]
        assert tokenizer.decode(ids) == text  # type: ignore[attr-defined]


def test_synthetic_words_are_single_tokens() -> None:
    source = SyntheticSource(CONFIG)
    words = train_tokenizer(source.texts(), 4096, 2048, whole_words=True)
    assert len(words) < 1500
    for task in CONFIG.tasks:
        for probe in probes(task, CONDITIONS[-1], 10):
            text = f"{probe.prompt} {probe.clean}"
            assert len(words(text)["input_ids"]) < 1.35 * len(text.split())
