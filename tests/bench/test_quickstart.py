"""What the bench says of a command, without a run."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from hydra_ray.bench import quickstart
from hydra_ray.errors import UserError


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def test_figures_are_of_the_whole_command(monkeypatch: pytest.MonkeyPatch) -> None:
    class Memory:
        peak, peak_with_files, worker, samples = 3 << 30, 4 << 30, 1 << 30, 7

        def __init__(self, pid: int) -> None:
            assert pid > 0

        def __enter__(self) -> "Memory":
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(quickstart, "PeakMemory", Memory)
    found = quickstart.measure(python("print('done')"))
    assert (found["peak_mib"], found["peak_with_files_mib"], found["worker_mib"], found["samples"]) == (
        3072, 4096, 1024, 7,
    )  # fmt: skip
    assert found["seconds"] >= 0
    assert found["cpus"] >= 1
    assert found["machine_mib"] > 0


def test_a_users_mistake_stays_one_line_and_a_failure_brings_the_end_of_the_log() -> None:
    with pytest.raises(UserError, match=r"^llm\.base_url: no URL$"):
        quickstart.measure(python("print('starting'); print('hydra-ray: llm.base_url: no URL'); raise SystemExit(2)"))
    with pytest.raises(RuntimeError, match=r"(?s)exit code 3: starting.*the end"):
        quickstart.measure(python("print('starting'); print('the end'); raise SystemExit(3)"))


def test_the_run_is_the_configs_in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def measured(command: list[str]) -> dict[str, Any]:
        asked.append(command)
        return {"peak_mib": 1}

    monkeypatch.setattr(quickstart, "measure", measured)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"configs/quickstart\.yaml: no such file; type the command in a clone"):
        quickstart.run(Namespace())
    (tmp_path / "own.yaml").touch()
    assert quickstart.run(Namespace(config=Path("own.yaml"))) == {"config": "own.yaml", "peak_mib": 1}
    assert asked[0][2:6] == ["hydra_ray.cli", "run", "--config", "own.yaml"]
    assert asked[0][6].startswith("root=")
    assert not Path(asked[0][6].removeprefix("root=")).parent.exists()
