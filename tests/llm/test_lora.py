"""LoRA adapters of the served model: which names requests send, what vLLM is started with, what it answers."""

import itertools
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaForCausalLM

from hydra_ray.config import LLMApplicationConfig, LLMConfig, LLMResources, ServeLLMConfig, ServeLoraConfig
from hydra_ray.core.tasks import load_task
from hydra_ray.errors import UserError
from hydra_ray.llm import vllm_app
from hydra_ray.llm.client import LLMClient
from hydra_ray.llm.lora import lora_name, name_base
from hydra_ray.llm.response_cache import ResponseCache
from hydra_ray.llm.types import Request, call_key
from hydra_ray.tiny_llm.export import embedded_path
from hydra_ray.tiny_llm.probe import CONDITIONS, generate, probes
from hydra_ray.tiny_llm.tokenizer import load_tokenizer
from tests.llm.asking import go
from tests.llm.fake_server import FakeServer

RANK, ALPHA = 8, 8
PLAIN = Request(({"role": "user", "content": "a"},))


def served(folder: Path | None, **more: object) -> LLMConfig:
    """A model with the bundled weights, and adapters somewhere in the folder."""
    lora = ServeLoraConfig(folder=None if folder is None else str(folder))
    return LLMConfig(serve=ServeLLMConfig(lora=lora, **more))


def write_adapter(folder: Path, seed: int, base: Path, rank: int = RANK) -> dict[str, torch.Tensor]:
    """A random adapter of the q and v projections of a Llama, in PEFT's format, and what it adds to each weight."""
    config = json.loads((base / "config.json").read_text())
    width, heads, kv_heads = config["hidden_size"], config["num_attention_heads"], config["num_key_value_heads"]
    head = config.get("head_dim") or width // heads
    draws = torch.Generator().manual_seed(seed)
    tensors, added = {}, {}
    for layer, (name, out) in itertools.product(
        range(config["num_hidden_layers"]), (("q_proj", heads * head), ("v_proj", kv_heads * head))
    ):
        a = torch.randn(rank, width, generator=draws) / width**0.5
        b = torch.randn(out, rank, generator=draws)
        module = f"model.layers.{layer}.self_attn.{name}"
        tensors |= {f"base_model.model.{module}.lora_A.weight": a, f"base_model.model.{module}.lora_B.weight": b}
        added[f"{module}.weight"] = ALPHA / rank * (b @ a)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": str(base), "r": rank,
                "lora_alpha": ALPHA, "target_modules": ["q_proj", "v_proj"], "bias": "none"}  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return added


def test_an_adapter_is_sent_as_the_model_and_only_then(tmp_path):
    fake = FakeServer()
    (answers, _) = go(tmp_path, fake, [PLAIN, Request(PLAIN.messages, lora="step/u1@3")])
    assert [answer.error for answer in answers] == [None, None]
    assert {body["model"] for body in fake.bodies} == {"m", "step/u1@3"}


def test_answers_of_two_adapters_and_of_none_are_kept_apart():
    keys = {call_key("m@h", Request(PLAIN.messages, lora=name)) for name in (None, "u1@1", "u1@2")}
    assert len(keys) == 3
    assert call_key("m@h", Request(PLAIN.messages, lora=None)) == call_key("m@h", PLAIN)


def test_adapters_are_told_where_their_base_lies_now(tmp_path):
    """vLLM compares where it lies, so that a run could not go on behind weights that were moved."""
    cfg, step = served(tmp_path), tmp_path / "steps" / "train"
    for user in ("a", "b"):
        write_adapter(step / "served" / user, 0, embedded_path())
        file = step / "served" / user / "adapter_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": "/where/it/lay"}))
    with pytest.raises(UserError, match=r"an adapter for /where/it/lay, but llm\.serve\.source is"):
        lora_name(cfg, step / "served" / "a")
    name_base(step, cfg.serve.source)
    assert [lora_name(cfg, step / "served" / user) for user in ("a", "b")] == [
        "steps/train/served/a",
        "steps/train/served/b",
    ]
    assert json.loads(file.read_text())["r"] == RANK


def test_an_adapters_name_is_its_path_in_the_folder(tmp_path):
    write_adapter(tmp_path / "steps" / "u1@3", 0, embedded_path())
    assert lora_name(served(tmp_path), tmp_path / "steps" / "u1@3") == "steps/u1@3"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda folder: (folder / "adapter_config.json").unlink(),
            r"u1: no LoRA there \(.* is missing\)",
        ),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), r"adapter_config\.json cannot be read"),
        (lambda folder: (folder / "adapter_config.json").write_text("[]"), "peft_type is not LORA"),
        (lambda folder: edit(folder, peft_type="LOHA"), "peft_type is not LORA"),
        (lambda folder: edit(folder, base_model_name_or_path="other"), "an adapter for other, but llm.serve.source is"),
        (lambda folder: edit(folder, r=32), "rank 32, but llm.serve.lora.max_rank is 16"),
    ],
)
def test_what_is_wrong_with_an_adapter_is_one_line(tmp_path, spoil, message):
    write_adapter(tmp_path / "u1", 0, embedded_path())
    spoil(tmp_path / "u1")
    with pytest.raises(UserError, match=message) as error:
        lora_name(served(tmp_path), tmp_path / "u1")
    assert "\n" not in str(error.value)


def edit(folder: Path, **settings: object) -> None:
    """Changes settings of an adapter."""
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


def test_adapters_need_a_model_that_is_served_with_their_folder(tmp_path):
    write_adapter(tmp_path / "u1", 0, embedded_path())
    with pytest.raises(UserError, match=r"llm\.serve\.lora\.folder is not set"):
        lora_name(served(None), tmp_path / "u1")
    with pytest.raises(UserError, match=r"lies outside llm\.serve\.lora\.folder"):
        lora_name(served(tmp_path / "elsewhere"), tmp_path / "u1")
    with pytest.raises(UserError, match="adapters need a model that the run serves"):
        lora_name(LLMConfig(base_url="http://127.0.0.1:9/v1"), tmp_path / "u1")


def test_vllm_is_started_with_adapters_where_they_have_a_folder(tmp_path):
    without = vllm_app.server_arguments(served(None), LLMResources())
    assert not [word for word in without if "lora" in word]
    assert "VLLM_LORA_RESOLVER_CACHE_DIR" not in vllm_app.engine_variables(served(None), LLMResources())
    cfg = LLMConfig(
        serve=ServeLLMConfig(lora=ServeLoraConfig(folder=str(tmp_path), max_rank=9, max_adapters=4, cached_adapters=2))
    )
    words = vllm_app.server_arguments(cfg, LLMResources())
    values = dict(itertools.pairwise(words))
    assert "--enable-lora" in words
    assert (values["--max-lora-rank"], values["--max-loras"], values["--max-cpu-loras"]) == ("16", "4", "4")
    variables = vllm_app.engine_variables(cfg, LLMResources())
    assert variables["VLLM_LORA_RESOLVER_CACHE_DIR"] == str(tmp_path)


def test_a_gpu_serves_adapters_by_vllms_own_server_in_one_replica(tmp_path):
    gpu = LLMResources(num_gpus=1)
    assert not served(None).is_direct(gpu)
    assert served(tmp_path).is_direct(gpu)
    assert vllm_app.deployment_names(LLMApplicationConfig(serve=served(tmp_path, port=8199).serve, resources=gpu)) == (
        vllm_app.DEPLOYMENT,
    )
    words = vllm_app.server_arguments(served(tmp_path), gpu)
    assert "--enable-lora" in words
    assert "--distributed-executor-backend" in words
    assert "--enforce-eager" not in words
    two = vllm_app.server_arguments(served(tmp_path), LLMResources(num_gpus=2))
    assert "--distributed-executor-backend" not in two
    assert dict(itertools.pairwise(two))["--tensor-parallel-size"] == "2"
    with pytest.raises(UserError, match=r"resources\.llm\.num_workers: LoRA adapters are served by one replica"):
        served(tmp_path).is_direct(LLMResources(num_workers=(1, 2)))
    with pytest.raises(ValueError, match=r"serve\.port: not set"):
        LLMApplicationConfig(serve=served(tmp_path).serve, resources=gpu)


@pytest.mark.cluster
def test_vllm_answers_with_each_requests_adapter_as_transformers_does(tmp_path, local_ray):
    """Two adapters and none, asked for at once; an adapter that is written after the start; one that is none."""
    base = embedded_path()
    task = load_task("synthetic_tagging")
    (condition,) = [condition for condition in CONDITIONS if condition.name == "four_with_one"]
    prompts = [probe.prompt for probe in probes("tagging", condition, 8)]
    added = {None: {}, "u1@1": write_adapter(tmp_path / "u1@1", 1, base)}

    def expected(lora):
        llama = LlamaForCausalLM.from_pretrained(str(base), dtype=torch.float32).eval()
        with torch.no_grad():
            for name, more in added[lora].items():
                llama.get_parameter(name).add_(more)
        return generate(llama, load_tokenizer(base), prompts, task)

    with vllm_app.served_llm(served(tmp_path, max_model_len=1024)) as url:
        added["u2@1"] = write_adapter(tmp_path / "u2@1", 2, base)
        asks = [
            Request(({"role": "user", "content": prompt},), 0.0, 1, 16, lora=lora)
            for prompt in prompts
            for lora in (*added, "unknown")
        ]
        ledger = ResponseCache(tmp_path / "ledger.sqlite", "run")
        client = LLMClient(LLMConfig(base_url=url), ledger, identity="m", use_cache=True)
        try:
            found = client.complete_sync(asks)
        finally:
            client.close_sync()
    by_lora = {lora: found[i :: len(added) + 1] for i, lora in enumerate((*added, "unknown"))}
    assert all("HTTP 404" in (answer.error or "") for answer in by_lora.pop("unknown"))
    texts = {lora: [answer.texts[0].strip() for answer in answers] for lora, answers in by_lora.items()}
    for lora, of_lora in texts.items():
        assert sum(a == e for a, e in zip(of_lora, expected(lora), strict=True)) >= 7
    assert len({tuple(of_lora) for of_lora in texts.values()}) == 3
