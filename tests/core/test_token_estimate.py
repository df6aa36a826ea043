"""Token estimates and clipping."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra_ray.core.token_estimate import estimate_tokens, truncate_to_tokens


@pytest.mark.parametrize(
    ("text", "qwen"),
    [
        # Counts of Qwen2.5's tokenizer, which the estimate must not fall below.
        ("They've been busy scrubbing the web as critics take aim at the president.", 16),
        ("我们都是好朋友今天天气很好" * 10, 60),
        ("Тихий вечер на берегу моря и рыбаки " * 10, 151),
        ("https://example.com/a8Zk2/qQ?x=1&y=%20abc_DEF#frag " * 10, 241),
        ("7f3kQ9ZpX2mV8tR4wY6bN1cL5sH0dJ" * 10, 300),
        ("def f(x):\n    return [i**2 for i in range(x)]\n" * 10, 160),
    ],
)
def test_no_script_is_underestimated(text: str, qwen: int) -> None:
    assert qwen <= estimate_tokens(text) <= 6 * qwen


@given(st.text(max_size=200))
def test_never_more_than_bytes(text: str) -> None:
    assert estimate_tokens(text) <= max(1, len(text.encode(errors="replace")))


@given(st.text(max_size=300), st.integers(1, 80))
def test_a_clipped_text_is_a_beginning_within_the_limit(text: str, limit: int) -> None:
    clipped, cut = truncate_to_tokens(text, limit, estimate_tokens)
    assert text.startswith(clipped)
    assert cut == (clipped != text)
    assert estimate_tokens(clipped) <= limit


def test_a_text_without_blanks_is_cut_within_its_word() -> None:
    assert truncate_to_tokens("x" * 5000, 100, estimate_tokens) == ("x" * 166, True)
    assert truncate_to_tokens("one two three", 2, estimate_tokens) == ("one two", True)
