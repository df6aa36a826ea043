import time

from hydra_ray.utils.periodic import PeriodicTask


def test_it_works_now_and_then_and_once_at_the_end() -> None:
    times: list[float] = []
    with PeriodicTask(lambda: times.append(time.monotonic()), 0.01):
        while len(times) < 3:
            time.sleep(0.01)
    assert len(times) >= 4


def test_without_a_last_time_nothing_is_done_at_the_end() -> None:
    times: list[float] = []
    with PeriodicTask(lambda: times.append(time.monotonic()), 60, at_end=False):
        pass
    assert times == []


def test_slowing_waits_longer_the_longer_it_lasts() -> None:
    times: list[float] = []
    began = time.monotonic()
    with PeriodicTask(lambda: times.append(time.monotonic() - began), 0.01, slowing=1.0):
        while len(times) < 7:
            time.sleep(0.01)
    # Each wait is at least as long as all that came before; without slowing it would be 0.01 seconds every time.
    assert times[6] >= 0.01 * 2**6
