"""fit-users on Ray Data: killed with SIGKILL between buckets and started again, the heads are those of a quiet run."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hydra_ray.pipeline.fit_users import fit_users
from hydra_ray.pipeline.run_context import RunContext
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.training.artifacts.user_heads import FOLDER
from tests.pipeline.fitted_world import make_config, make_fit, write_answers, write_base

SCRIPT = """
import sys, time
from pathlib import Path
from hydra_ray.pipeline import fit_records, fit_users
from hydra_ray.pipeline.run_context import RunContext
from hydra_ray.store.heads.head_store import HeadStore
from tests.pipeline.fitted_world import make_config, make_fit
HeadStore.publish = lambda *given, **more: time.sleep(600)  # so that the driver dies before it, however fast it is
folder = Path(sys.argv[1])
config = make_config(folder, few_in_driver=False, batch_users=1)
with RunContext(config) as run:
    fit_users.fit_users(run, make_fit(folder, config, folder / "answered"), {"l2": 0.01}, folder / "killed")
"""


@pytest.mark.cluster
def test_a_killed_fit_goes_on_with_the_next_bucket(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = make_config(tmp_path, few_in_driver=False, batch_users=1)
    write_base(tmp_path, config)
    write_answers(tmp_path / "answered")
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    killed = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], env=environment, start_new_session=True)
    records = tmp_path / "killed" / "records"
    while killed.poll() is None and not (records.exists() and len(list(records.glob("*.json"))) >= 2):
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    buckets = list(make_fit(tmp_path, config, tmp_path / "answered").by_bucket())
    done = len(list(records.glob("*.json")))
    assert done >= 2
    assert HeadStore.open(str(tmp_path / "killed" / FOLDER)).count() == 0  # nothing is published by halves

    fit = make_fit(tmp_path, config, tmp_path / "answered")
    with RunContext(config) as run:
        counts = fit_users(run, fit, {"l2": 0.01}, tmp_path / "killed")
        quiet = fit_users(run, fit, {"l2": 0.01}, tmp_path / "quiet")
    assert counts["users"] == quiet["users"] == 8
    if done < len(buckets):
        # A worker that outlived its driver for a moment may have finished one more.
        match = re.search(rf"(\d+) of {len(buckets)} buckets are done already", capsys.readouterr().err)
        assert (match and int(match[1]) >= done) or len(list(records.glob("*.json"))) == len(buckets)
    stores = [HeadStore.open(str(tmp_path / name / FOLDER)) for name in ("killed", "quiet")]
    ids = stores[0].users()
    assert ids == stores[1].users()
    one, two = (store.get(ids)[1] for store in stores)
    for name in one:
        assert np.array_equal(one[name], two[name])
