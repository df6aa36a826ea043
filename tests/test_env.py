"""The environment's variables: the user's own value stays."""

import os
import pickle
from pathlib import Path

import pytest

from hydra_ray import env
from hydra_ray.errors import UserError


def test_a_key_is_read_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", " sk-secret\n")
    key = env.api_key("A_KEY")
    assert key.value == "sk-secret"
    assert "secret" not in repr(key)
    assert pickle.loads(pickle.dumps(key)).value == "sk-secret"
    monkeypatch.delenv("A_KEY")
    assert env.api_key("A_KEY").value == ""


@pytest.mark.parametrize("value", ["sk secret", "sk-sécret", "sk\x07secret"])
def test_what_no_header_can_hold_is_refused_unseen(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("A_KEY", value)
    with pytest.raises(UserError, match=r"environment variable A_KEY \(llm.api_key_env\) is no key") as raised:
        env.api_key("A_KEY")
    assert value not in str(raised.value)


def test_the_readers_that_the_user_chose_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    name = env.FOOTER_READERS.name
    monkeypatch.setenv(name, "")
    monkeypatch.setattr(env, "_set_readers", [""])
    env.set_footer_readers(3)
    env.set_footer_readers(5)
    assert os.environ[name] == "5"
    monkeypatch.setenv(name, "7")
    env.set_footer_readers(2)
    assert os.environ[name] == "7"


def test_an_engine_on_cpu_gets_its_memory_and_weights_of_a_folder_need_no_hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in (env.CPU_KV_CACHE, env.HF_HUB_OFFLINE):
        monkeypatch.delenv(variable.name, raising=False)
    cpu = env.engine_variables(cpu=True, alone=False, kv_cache_gib=3, weights=str(tmp_path))
    gpu = env.engine_variables(cpu=False, alone=False, kv_cache_gib=3, weights="name/on-the-hub")
    assert cpu[env.CPU_KV_CACHE.name] == "3"
    assert cpu[env.HF_HUB_OFFLINE.name] == env.HF_HUB_OFFLINE.value
    assert not {env.CPU_KV_CACHE.name, env.HF_HUB_OFFLINE.name} & set(gpu)
    monkeypatch.setenv(env.CPU_KV_CACHE.name, "9")
    own = env.engine_variables(cpu=True, alone=False, kv_cache_gib=3, weights="name/on-the-hub")
    assert own[env.CPU_KV_CACHE.name] == "9"


@pytest.mark.parametrize(
    ("cpus", "gpu", "threads"), [(0.0, False, "1"), (0.5, False, "1"), (4.0, False, "4"), (4.0, True, None)]
)
def test_a_training_worker_computes_on_the_cpus_that_it_has_reserved(
    cpus: float, gpu: bool, threads: str | None
) -> None:
    assert env.train_variables(cpus=cpus, gpu=gpu).get("OMP_NUM_THREADS") == threads
