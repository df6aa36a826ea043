"""A user's mistake on a worker comes back as it was raised, whatever Ray has made of it."""

import contextlib
import logging
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayTaskError, UnserializableException

from hydra_ray.errors import BudgetReachedError, UserError
from hydra_ray.llm.retry import RejectedError, SuspectError
from hydra_ray.training.user_fit.padded_users import NonFiniteError
from hydra_ray.utils.ray_errors import (
    find_user_error,
    lost_worker,
    out_of_memory,
    root_cause_line,
    unwrap_user_errors,
)

MISTAKE = BudgetReachedError("llm.max_calls=3 is reached")


def of_a_task() -> Exception:
    from ray.exceptions import RayTaskError

    return RayTaskError("f", "Traceback ...", MISTAKE, "p", 1, "ip").as_instanceof_cause()


def of_a_task_that_waited_for_another() -> Exception:
    from ray.exceptions import RayTaskError

    return RayTaskError("f", "Traceback ...", RayTaskError("g", "Traceback ...", MISTAKE, "p", 1, "ip"), "p", 1, "ip")


def of_a_train_worker() -> Exception:
    from ray.train.v2._internal.exceptions import UserExceptionWithTraceback
    from ray.train.v2.api.exceptions import WorkerGroupError

    lost = ConnectionResetError("the other rank has gone")
    return WorkerGroupError("rank 1", {0: lost, 1: UserExceptionWithTraceback(MISTAKE, "Traceback ...")})


def of_the_train_controller() -> Exception:
    from ray.train.v2.api.exceptions import ControllerError

    return ControllerError(MISTAKE)


def with_ray_datas_advice() -> Exception:
    from ray.data._internal.util import _annotate_exception_with_retry_context

    mistake = BudgetReachedError(*MISTAKE.args)
    how = {"attempts": 1, "max_attempts": 1, "total_backoff_s": 0.0, "exception_str": ""}
    added = _annotate_exception_with_retry_context(mistake, description="apply UDF transform", **how)
    assert "attempts" in str(added)
    assert isinstance(added, Exception)
    return added


def raised_from() -> Exception:
    error = RuntimeError("outer")
    error.__cause__ = MISTAKE
    return error


@pytest.mark.parametrize(
    "make",
    [
        of_a_task,
        of_a_task_that_waited_for_another,
        with_ray_datas_advice,
        of_a_train_worker,
        of_the_train_controller,
        raised_from,
    ],
)
def test_a_mistake_is_found_in_all_that_ray_makes_of_it(make: Callable[[], Exception]) -> None:
    error = make()
    found = find_user_error(error)
    assert (type(found), str(found)) == (BudgetReachedError, str(MISTAKE))
    with pytest.raises(BudgetReachedError) as raised, unwrap_user_errors():
        raise error
    assert str(raised.value) == str(MISTAKE)


def test_a_defect_is_none_and_comes_as_it_is() -> None:
    defect = ValueError("a defect")
    defect.__context__ = defect  # as a loop of causes would be
    assert find_user_error(defect) is None
    with pytest.raises(ValueError, match="a defect"), unwrap_user_errors():
        raise defect


@contextlib.contextmanager
def terminal() -> Iterator[list[str]]:
    """What Ray Data's loggers print meanwhile."""
    import ray.data  # noqa: F401  # sets its handlers

    printed: list[str] = []

    class Handler(logging.StreamHandler):  # type: ignore[type-arg]
        def emit(self, record: logging.LogRecord) -> None:
            printed.append(record.getMessage())

    logger, handler = logging.getLogger("ray.data"), Handler()
    before, logger.handlers = logger.handlers, [handler]
    try:
        yield printed
    finally:
        logger.handlers = before


def test_ray_data_prints_a_defect_but_no_mistake() -> None:
    log = logging.getLogger("ray.data._internal.execution")

    def work(error: Exception) -> None:
        with unwrap_user_errors():
            log.warning("slow")
            log.error("a worker's traceback")
            raise error

    with terminal() as printed:
        with pytest.raises(UserError):
            work(of_a_task())
        assert printed == ["slow"]
        with pytest.raises(ValueError, match="defect"):
            work(ValueError("defect"))
        assert printed == ["slow", "slow", "a worker's traceback"]


@pytest.mark.parametrize(
    "mistake",
    [MISTAKE, NonFiniteError("heads", 3, 1, 8), SuspectError(RejectedError("flagged", "the account may be closed"))],
)
def test_mistakes_travel(mistake: UserError) -> None:
    found: Any = pickle.loads(pickle.dumps(mistake))
    assert (type(found), str(found), vars(found).keys()) == (type(mistake), str(mistake), vars(mistake).keys())


def test_the_telling_line_of_a_traceback():
    text = "Traceback (most recent call last):\n  File x\nValueError: no such architecture\n\nRetrying 2 more time(s)."
    assert root_cause_line(text) == "ValueError: no such architecture"
    assert root_cause_line("RuntimeError: 1 error\n  too long\nmore") == "RuntimeError: 1 error too long"
    assert root_cause_line("just this") == "just this"
    assert root_cause_line("") == ""


def test_ray_data_prints_no_traceback_of_a_loss() -> None:
    def work() -> None:
        with unwrap_user_errors():
            logging.getLogger("ray.data").error("a worker's traceback")
            raise ActorDiedError()

    with terminal() as printed:
        with pytest.raises(ActorDiedError):
            work()
        assert not printed


def test_a_loss_that_ray_train_gave_up_at() -> None:
    from ray.exceptions import ActorUnavailableError
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
    from ray.train.v2.api.exceptions import WorkerGroupError

    away = WorkerHealthCheckFailedError("rank 0 is not healthy", ActorUnavailableError("connection reset", b"a" * 16))
    found = lost_worker(pickle.loads(pickle.dumps(WorkerGroupError("rank 0", {0: away}))))
    assert found is not None
    assert found.startswith("ActorUnavailableError: ")
    assert lost_worker(WorkerGroupError("rank 0", {0: ValueError("a bug")})) is None


def test_a_loss_says_why_where_ray_knows() -> None:
    """As Ray 2.60 words it when a node dies while Ray Data reads footers."""
    text = (
        "Failed to deserialize exception.\nOriginal exception:\nray.exceptions.RayTaskError: ray::ListFiles()\n"
        "ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task.\n"
        "\tclass_name: FooterReader\n"
        "The actor died because its node has died. Node Id: dbb63ddb\n\tthe actor's node was terminated unexpectedly\n"
    )
    lost = "ActorDiedError: The actor died unexpectedly before finishing this task (its node has died)"
    assert lost_worker(UnserializableException(text)) == lost


def test_a_loss_is_found_where_a_task_passes_on_its_text_alone() -> None:
    text = "ray::ListFiles() (pid=7)\nray.exceptions.ActorDiedError: The actor died unexpectedly before finishing.\n"
    error = RayTaskError("ListFiles", text, ValueError("unrelated"))
    assert lost_worker(error) == "ActorDiedError: The actor died unexpectedly before finishing."
    assert lost_worker(RayTaskError("ListFiles", "Traceback\nValueError: a bug", ValueError("a bug"))) is None


def test_a_loss_is_found_inside_other_exceptions() -> None:
    outer = RuntimeError("a pipeline failed")
    outer.__cause__ = RayTaskError("read", "traceback", ActorDiedError())
    assert str(lost_worker(outer)).startswith("ActorDiedError: ")
    assert lost_worker(ValueError("x")) is None
    raised = RayTaskError("__init__", "Traceback\nNameError: x", NameError("x"))
    assert lost_worker(ActorDiedError(raised)) is None


def test_workers_killed_for_want_of_memory_are_a_loss_and_are_told_in_one_line() -> None:
    text = (
        "6 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 10.0.0.7, ID: a8be) "
        "was 22.14GB used / 23.54GB limit (0.940523)\n Object store usage: []\nRefer to the documentation"
    )
    line = "Ray killed workers on node 10.0.0.7, whose memory was used up (22.14 of 23.54 GB)"
    assert lost_worker(OutOfMemoryError(text)) == line
    assert out_of_memory(f"Training failed due to worker errors:\n{text}") == line
    assert out_of_memory("CUDA out of memory") is None
