import threading

import pytest

from hydra_ray.utils.prefetch import prefetched


def test_everything_comes_in_order_and_one_is_loaded_ahead() -> None:
    loaded = [threading.Event() for _ in range(4)]

    def load(i: int) -> int:
        if i > 1:
            assert not loaded[i].is_set()
        loaded[i].set()
        return i * i

    seen = []
    for i, value in prefetched(range(4), load):
        if i + 1 < 4:
            assert loaded[i + 1].wait(10), "the next one is loaded while this one is worked on"
        assert not any(event.is_set() for event in loaded[i + 2 :]), "and no further one"
        seen.append((i, value))
    assert seen == [(0, 0), (1, 1), (2, 4), (3, 9)]
    assert list(prefetched([], load)) == []


def test_what_cannot_be_loaded_is_raised_in_its_place() -> None:
    def load(i: int) -> int:
        return 1 // (2 - i)

    found = prefetched(range(4), load)
    assert [next(found), next(found)] == [(0, 0), (1, 1)]
    with pytest.raises(ZeroDivisionError):
        next(found)
