from pathlib import Path

import pytest

from hydra_ray.core.tasks import load_task
from hydra_ray.errors import UserError
from hydra_ray.synth.world import make_user
from hydra_ray.tiny_llm.config import TinyLLMConfig
from hydra_ray.tiny_llm.source import source_of
from hydra_ray.tiny_llm.users_corpus import UsersSource, read_training_users
from tests.tiny_llm.small import SMALL


@pytest.fixture(autouse=True)
def _few_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hydra_ray.tiny_llm.train._FINAL_PROBE", 2)
    monkeypatch.setattr("hydra_ray.tiny_llm.source._TOKENIZER_STEPS", 20)


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="task: needed"):
        source_of(SMALL.model_copy(update={"data_root": str(tmp_path)}))
    with pytest.raises(UserError, match="no such file"):
        read_training_users(TinyLLMConfig(data_root=str(tmp_path)), load_task("synthetic_tagging"))
    with pytest.raises(UserError, match="2 are needed"):
        UsersSource(SMALL, load_task("synthetic_tagging"), [make_user("tagging", 0, 0, (5, 5), 1).to_user()])
