from collections.abc import Sequence
from dataclasses import replace

import pytest

from hydra_ray.pipeline.room import Holder, Room, RoomWatch, no_room_line

ONE_CPU, ONE_GPU = (("CPU", 1.0),), (("CPU", 1.0), ("GPU", 1.0))
FITTER = Holder(False, "job 02000000", "FitWorker", 3, {"CPU": 3.0})
LLM = Holder(True, "this run", "ServeReplica:llm:LLM", 1, {"CPU": 1.0, "GPU": 1.0})


def _room(holders: Sequence[Holder] | None = (FITTER, LLM)) -> Room:
    return Room({ONE_CPU: 2, ONE_GPU: 4}, [{"CPU": 0.0, "GPU": 0.5}, {"CPU": 2.0}], {"CPU": 6.0, "GPU": 2.0}, holders)


def test_what_fits_on_a_node_is_only_on_its_way() -> None:
    assert _room().unplaced() == {ONE_GPU: 4}


def test_the_line_says_what_is_wanted_what_is_free_and_who_holds_the_rest() -> None:
    assert no_room_line(_room(), {ONE_GPU: 1}) == (
        "ray: waiting for 4 x (1 CPU, 1 GPU); free: 2 of 6 CPU, 0.5 of 2 GPU; held: 3 CPU by 3 FitWorker of job "
        "02000000; 1 CPU, 1 GPU by 1 ServeReplica:llm:LLM of this run"
    )
    assert no_room_line(_room(()), {ONE_GPU: 1}).endswith("; held: by tasks")
    assert no_room_line(_room(None), {ONE_GPU: 1}).endswith("free: 2 of 6 CPU, 0.5 of 2 GPU")


def test_what_has_waited_for_a_moment_only_is_no_news() -> None:
    assert no_room_line(_room(), {}) == no_room_line(_room(), {ONE_CPU: 1}) == ""


def test_many_holders_are_counted() -> None:
    many = [replace(FITTER, who=f"job {i}", reserved={"CPU": float(i)}) for i in range(1, 8)]
    line = no_room_line(_room(many), {ONE_GPU: 1})
    assert "held: 7 CPU by 3 FitWorker of job 7; 6 CPU" in line
    assert line.endswith("of job 4; and 3 more")


@pytest.mark.parametrize(("own", "lines"), [(replace(FITTER, own=True), 0), (FITTER, 2), (LLM, 2)])
def test_a_run_whose_workers_hold_something_gets_on(own: Holder, lines: int) -> None:
    logged: list[str] = []
    watch = RoomWatch(lambda: _room([own]), logged.append)
    for _ in range(3):
        watch()
    assert len(logged) == lines


def test_a_cluster_that_cannot_be_reached_is_no_news_here() -> None:
    def lost() -> Room:
        raise ConnectionError

    logged: list[str] = []
    RoomWatch(lost, logged.append)()
    assert not logged
