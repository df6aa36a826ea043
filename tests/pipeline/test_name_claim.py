"""Who may work under a run's name."""

import subprocess
import sys
from pathlib import Path

import pytest

from hydra_ray.config import Config
from hydra_ray.errors import UserError
from hydra_ray.pipeline.name_claim import claim_name

HOLD = """
import pathlib, sys
from hydra_ray.config import Config
from hydra_ray.pipeline.name_claim import claim_name
with claim_name(pathlib.Path(sys.argv[1]), Config.model_validate_json(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""
ONE = Config.model_validate({"name": "n", "train": {"epochs": 1}})
OTHER = Config.model_validate({"name": "n", "train": {"epochs": 2}})
UNDER_ANOTHER_NAME = OTHER.model_copy(update={"name": "m"})


def test_a_run_with_other_settings_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path), ONE.model_dump_json()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with claim_name(tmp_path, ONE), claim_name(tmp_path, UNDER_ANOTHER_NAME):
            pass
        with pytest.raises(UserError) as error, claim_name(tmp_path, OTHER):
            pytest.fail("taken twice")
        line = str(error.value)
        assert line.startswith("name=n: a run with other settings is at work under this name (host ")
        assert f"process {process.pid}, since " in line
        assert "\n" not in line
        process.kill()
    with claim_name(tmp_path, OTHER):
        pass


def test_a_root_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "steps").write_text("")
    with pytest.raises(UserError, match=f"^{tmp_path}: cannot write there: "), claim_name(tmp_path, ONE):
        pass
