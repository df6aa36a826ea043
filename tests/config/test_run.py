"""A run's configuration as a whole."""

import pytest

from hydra_ray.config import Config
from hydra_ray.core.tasks import load_task


def test_config_is_frozen() -> None:
    with pytest.raises(Exception, match="frozen"):
        Config().name = "y"  # type: ignore[misc]


def test_topics_are_read_where_there_are_labels() -> None:
    on = Config.model_validate({"adapter": {"topic_classifier": True}}).adapter
    tasks = [load_task(name) for name in ("lamp_2n", "lamp_3", "lamp_4")]
    assert [on.reads_topics(task) for task in tasks] == [True, True, False]
    assert not Config().adapter.reads_topics(tasks[1])
