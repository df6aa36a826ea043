from pathlib import Path

import pytest

from hydra_ray.config import RetrievalConfig, load_config
from hydra_ray.errors import UserError


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["retrieval.fuse=[bm25,rrf]"], "fuse: rrf fuses others itself"),
        (["retrieval.fuse=[bm25,bm25]"], "fuse: names a retriever twice"),
        (["retrieval.fuse=[]"], "fuse"),
        (["retrieval.fuse=[bm26]"], "did you mean 'bm25'"),
        (["retrieval.method=ranking"], "ranking: needed for method=ranking"),
        (["retrieval.method=rrf", "retrieval.fuse=[bm25,ranking]"], "ranking: needed for method=rrf"),
        (["retrieval.similarity=euclidean"], "similarity"),
    ],
)
def test_what_cannot_be_retrieved_by_is_one_line(overrides: list[str], expected: str) -> None:
    with pytest.raises(UserError) as error:
        load_config(None, overrides)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_fused_retrievers_say_what_is_needed() -> None:
    assert RetrievalConfig(method="rrf").encodes
    assert not RetrievalConfig(method="rrf", fuse=("bm25", "recency")).encodes
    assert not RetrievalConfig().encodes
    assert RetrievalConfig().encodes_for("dense")
    fused = RetrievalConfig(method="rrf", fuse=("bm25", "ranking"), ranking="r.json")
    assert fused.reads_ranking()
    assert not fused.reads_ranking("bm25")


def test_a_ranking_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(None, ["retrieval.ranking=r.json"]).retrieval.ranking == str(tmp_path / "r.json")


def test_where_a_ranking_lies_is_no_part_of_an_address() -> None:
    plain = RetrievalConfig().identity(["bm25"])
    assert RetrievalConfig(ranking="a").identity(["bm25"]) == RetrievalConfig(ranking="b").identity(["bm25"]) == plain
    assert RetrievalConfig(use_date=True).identity(["bm25"]) != plain
