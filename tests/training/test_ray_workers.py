import pytest

from hydra_ray.errors import UserError
from hydra_ray.training.ray_workers import StopOnUserError


def test_a_users_mistake_ends_the_training_and_a_lost_worker_does_not() -> None:
    callback = StopOnUserError()
    callback.after_exception(None, {0: RuntimeError("the node died"), 1: ConnectionError("gone")})
    with pytest.raises(UserError, match="lower the learning rates"):
        callback.after_exception(None, {0: RuntimeError("the node died"), 1: UserError("lower the learning rates")})
