"""Which methods a comparison leaves out while it runs."""

from types import SimpleNamespace
from typing import Any

import pytest

from hydra_ray.core.sampling import Trial
from hydra_ray.errors import NothingToLearnError, UserError
from hydra_ray.methods.chosen import ChosenMethods
from hydra_ray.pipeline.compare import leave_out

SHOWN = ("recency_k4", "ropg_kd_k4", "ropg_rl_k4", "rspg_pre", "hydra")


class Job:
    """Trains what it is asked to, unless it has nothing to learn from."""

    def __init__(self, error: Exception, *poor: str) -> None:
        self.error, self.poor = error, poor
        self.trained: list[tuple[str, Trial]] = []
        self.left_out: set[str] = set()
        self.lines: list[str] = []
        self.run = SimpleNamespace(log=self.lines.append)
        self.config = SimpleNamespace(protocol=SimpleNamespace(trials=(Trial(0), Trial(1))))

    def trained_method(self, trial: Trial, name: str) -> None:
        if name in self.poor:
            raise self.error
        self.trained.append((name, trial))


def test_what_has_nothing_to_learn_from_is_left_out_with_a_line() -> None:
    job: Any = Job(NothingToLearnError("rspg: the answers teach nothing"), "rspg_pre")
    found = leave_out(job, ChosenMethods(SHOWN, frozenset(), {}))
    assert found == {"rspg_pre": "rspg: the answers teach nothing"}
    assert job.left_out == {"rspg_pre"}
    assert job.lines == ["compare: rspg_pre is left out: rspg: the answers teach nothing"]
    assert job.trained == [(name, Trial(seed)) for name in ("ropg_kd_k4", "ropg_rl_k4") for seed in (0, 1)]


def test_what_is_named_is_not_left_out_and_fails_where_the_run_comes_to_it() -> None:
    job: Any = Job(NothingToLearnError("no"), "rspg_pre")
    assert leave_out(job, ChosenMethods(SHOWN, frozenset({"rspg_pre"}), {})) == {}
    assert job.left_out == set()


def test_any_other_mistake_ends_the_run() -> None:
    job: Any = Job(UserError("the budget is used up"), "ropg_kd_k4")
    with pytest.raises(UserError, match="budget"):
        leave_out(job, ChosenMethods(SHOWN, frozenset(), {}))
