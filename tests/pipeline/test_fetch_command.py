from pathlib import Path

import pytest

from hydra_ray.cli import main
from hydra_ray.pipeline.previous_run import write_steps
from hydra_ray.pipeline.run_archive import RunArchive


def test_a_run_is_brought_into_another_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"file://{tmp_path}/archive"
    write_steps(tmp_path / "one" / "quick", {})
    RunArchive(url, tmp_path / "one", print).publish_run("quick")
    assert main(["fetch", url, "quick", "--root", str(tmp_path / "other")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "other" / "quick")
    assert (tmp_path / "other" / "quick" / "steps.json").exists()
    assert (tmp_path / "other").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("url", "run", "words"), [("s3://k:s@b/x", "quick", "holds credentials"), ("{}", "none", "holds no run 'none'")]
)
def test_mistakes_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str, run: str, words: str
) -> None:
    assert main(["fetch", url.format(f"file://{tmp_path}/archive"), run, "--root", str(tmp_path / "other")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
