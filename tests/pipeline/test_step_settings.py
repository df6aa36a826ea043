"""Steps' settings do not depend on where a folder lies."""

from pathlib import Path

from hydra_ray.config import Config
from hydra_ray.pipeline.step_settings import joint_model, label_settings, topics_encoder


def _with_encoder(folder: str) -> Config:
    return Config.model_validate({"model": {"encoder": folder}})


def test_an_encoder_is_what_it_holds_wherever_it_lies(tmp_path: Path) -> None:
    for name, text in (("a", "same"), ("b", "same"), ("c", "other")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text)
    a, b, c = (_with_encoder(str(tmp_path / name)) for name in "abc")
    assert joint_model(a, "reranker") == joint_model(b, "reranker") != joint_model(c, "reranker")
    assert topics_encoder(a) == topics_encoder(b) != topics_encoder(c)
    assert joint_model(_with_encoder("org/model"), "reranker")["encoder"] == "org/model"
    assert joint_model(Config(), "reranker")["encoder"] == "minilm"


def test_every_answer_that_an_adapter_may_choose_is_part_of_its_address() -> None:
    """The published adapter chooses among samples alone, whatever the run's own does."""
    off = {"features": False, "history_candidates": False, "text_features": True}
    config = Config.model_validate({"adapter": {**off, "zero_shot_candidate": True}})
    paper = config.model_copy(update={"adapter": config.adapter.as_published()})
    assert label_settings(config, "adapter") != label_settings(paper, "adapter")
    assert label_settings(config, "reranker") == label_settings(paper, "reranker")
