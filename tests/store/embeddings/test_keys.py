"""Keys that stay what they are: embeddings are found by them."""

from hydra_ray.store.embeddings.keys import KEY_BYTES, SHARDS, as_keys, hex_of, shards_of, text_key, text_keys


def test_the_key_of_a_text_never_changes() -> None:
    assert text_key("a").hex() == "27c35e6e9373877f29e562464e46497e"
    assert len(text_key("half \ud83d")) == KEY_BYTES
    assert text_keys(["a", "b"]).tobytes() == text_key("a") + text_key("b")


def test_shards_are_keys_in_order() -> None:
    keys = as_keys(b"".join(bytes([first]) + bytes(15) for first in (0, 3, 4, 255)))
    assert shards_of(keys).tolist() == [0, 0, 1, SHARDS - 1]


def test_zero_bytes_at_the_end_stay_part_of_a_key() -> None:
    keys = as_keys(bytes(16) + b"\x01" + bytes(15))
    assert [hex_of(keys, 0), hex_of(keys, 1)] == ["00" * 16, "01" + "00" * 15]
