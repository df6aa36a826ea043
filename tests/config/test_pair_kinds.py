from types import SimpleNamespace

import pytest

from hydra_ray.config.pair_kinds import pair_kind
from hydra_ray.errors import UserError

MODEL = SimpleNamespace(pair_dim=64)


@pytest.mark.parametrize(
    ("name", "reads", "width"),
    [
        ("cross_encoder", "pairs", 384),
        ("bi_encoder", "texts", 64),
        ("concepts", "sentences", 64),
        ("none", "nothing", 0),
    ],
)
def test_what_is_read_and_how_wide_a_pair_embedding_is(name: str, reads: str, width: int) -> None:
    kind = pair_kind(name)
    assert (kind.reads, kind.width(384, MODEL)) == (reads, width)
    assert (kind.make is None) == (reads in ("pairs", "nothing"))


def test_only_concepts_start_at_centres() -> None:
    assert [pair_kind(name).centres for name in ("concepts", "bi_encoder", "none")] == [True, False, False]


def test_an_unknown_kind_is_one_line() -> None:
    with pytest.raises(UserError, match="concept"):
        pair_kind("concept")
