"""A pipeline in a folder."""

import math
from pathlib import Path

import pytest

import hydra_ray
from hydra_ray.inference.trace import Trace
from tests.api.answering import llm
from tests.api.finished_run import TASK, made_users, write_finished

USER = made_users()[1]
QUERY = USER.questions[0].text

HISTORY = [{"text": item.text, "answer": item.answer, "date": item.date, "item_id": item.item_id}
           for item in USER.items]  # fmt: skip


def test_a_saved_pipeline_answers_the_same_and_holds_no_user(tmp_path: Path) -> None:
    run = write_finished(tmp_path / "here")
    pipe = hydra_ray.HydraPipeline.from_run(run, llm=llm)
    saved = pipe.save(tmp_path / "saved")
    (tmp_path / "here").rename(tmp_path / "gone")
    moved = saved.rename(tmp_path / "moved")
    loaded = hydra_ray.HydraPipeline.load(moved, llm=llm)
    head = loaded.fit(history=HISTORY)
    assert loaded.personalize(QUERY, history=HISTORY, head=head).answer in TASK.labels
    texts = "".join(file.read_text(errors="replace") for file in moved.rglob("*") if file.is_file())
    assert not any(item.text in texts for item in USER.items)
    assert "u0000000" not in texts
    assert "# quickstart: personal answers for the task synthetic_tagging" in (moved / "README.md").read_text()
    with pytest.raises(hydra_ray.UserError, match="quickstart has no user 'u00000002'"):
        loaded.personalize(QUERY, user_id="u00000002")
    with pytest.raises(hydra_ray.UserError, match="there is something in it already"):
        loaded.save(moved)


def figures(trace: Trace) -> list[float | None]:
    """What the reranker and the adapter made of everything, in order."""
    return [item.reranker for item in trace.retrieved] + [made.adapter for made in trace.candidates]


def test_a_saved_pipeline_scores_as_the_run_does(pipe: hydra_ray.HydraPipeline, tmp_path: Path) -> None:
    loaded = hydra_ray.HydraPipeline.load(pipe.save(tmp_path / "saved"), llm=llm)
    one, other = (made.personalize(QUERY, history=HISTORY).trace for made in (pipe, loaded))
    assert [made.text for made in one.candidates] == [made.text for made in other.candidates]
    assert [item.item_id for item in one.retrieved] == [item.item_id for item in other.retrieved]
    # Texts that are encoded in batches of another size differ in the last bits.
    assert figures(one) == pytest.approx(figures(other), abs=1e-5)
    assert one.prompt == other.prompt
    assert all(candidate.adapter is not None and math.isfinite(candidate.adapter) for candidate in one.candidates)


@pytest.mark.parametrize("content", [None, "{", '{"format": 9}', '{"format": 1, "config": {"no": 1}}'])
def test_no_saved_pipeline(tmp_path: Path, content: str | None) -> None:
    if content:
        (tmp_path / "pipeline.json").write_text(content)
    with pytest.raises(hydra_ray.UserError, match=r"no saved pipeline|broken|format 9|another hydra_ray"):
        hydra_ray.HydraPipeline.load(tmp_path)
