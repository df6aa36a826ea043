"""A mistake on a worker of a real Ray: a task, an actor, and Ray Data's functions and actors."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hydra_ray.errors import UnfinishedError
from hydra_ray.utils.ray_errors import unwrap_user_errors

pytestmark = pytest.mark.cluster
WORDS = "llm: run again"


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Iterator[None]:
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="warning")
    yield
    ray.shutdown()


def fail(*_: Any) -> Any:
    raise UnfinishedError(WORDS)


class Failing:
    """Fails at every call."""

    def __call__(self, batch: Any) -> Any:
        raise UnfinishedError(WORDS)

    def fail(self) -> None:
        raise UnfinishedError(WORDS)


def task() -> None:
    import ray

    ray.get(ray.remote(fail).remote())


def actor() -> None:
    import ray

    ray.get(ray.remote(Failing).options(num_cpus=0).remote().fail.remote())


def function_of_ray_data() -> None:
    import ray.data

    ray.data.range(2).map_batches(fail).take_all()


def actor_of_ray_data() -> None:
    import ray.data

    strategy = ray.data.ActorPoolStrategy(size=1)
    list(ray.data.range(2).map_batches(Failing, compute=strategy).iter_batches())


@pytest.mark.parametrize("work", [task, actor, function_of_ray_data, actor_of_ray_data])
def test_a_mistake_comes_back_as_it_was_raised(work: Callable[[], None], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnfinishedError) as raised, unwrap_user_errors():
        work()
    assert (type(raised.value), str(raised.value)) == (UnfinishedError, WORDS)
    printed = "".join(capfd.readouterr())
    assert WORDS not in printed, "nothing but the caller prints it"
