"""Which runs serve the LLM with adapters."""

import json
from pathlib import Path
from typing import Any

import pytest

from hydra_ray.config import Config
from hydra_ray.errors import UserError
from hydra_ray.pipeline.lora_serving import serve_adapters, with_weights
from tests.models.lora.small_llama import write_llama
from tests.models.small_t5 import write_t5


def config(**more: Any) -> Config:
    return Config.model_validate(more)


def test_only_a_run_with_a_method_that_asks_for_adapters_serves_some(tmp_path: Path) -> None:
    plain = config(evaluate={"methods": ["recency_k1"]})
    assert serve_adapters(plain, tmp_path) is plain
    served = serve_adapters(config(evaluate={"methods": ["recency_k1", "oppu_k0"]}, lora={"rank": 16}), tmp_path)
    assert served.llm.serve.lora.folder == str(tmp_path)
    assert served.llm.serve.lora.max_rank == 32  # the task's and the user's in one


@pytest.mark.parametrize("row", ["peft_k4", "finetuned_k4"])
def test_an_llm_that_is_served_elsewhere_cannot_be_trained(tmp_path: Path, row: str) -> None:
    elsewhere = config(evaluate={"methods": [row]}, llm={"base_url": "http://127.0.0.1:9/v1"})
    with pytest.raises(UserError, match=rf"{row} trains weights.*leave out llm\.base_url=http://127"):
        serve_adapters(elsewhere, tmp_path)


def test_other_weights_are_served_as_the_llm_is_but_without_adapters(tmp_path: Path) -> None:
    plain = config(evaluate={"methods": ["finetuned_k0"]}, llm={"serve": {"max_num_seqs": 7}})
    assert serve_adapters(plain, tmp_path) is plain
    both = serve_adapters(config(evaluate={"methods": ["finetuned_k0", "oppu_k0"]}), tmp_path)
    assert both.llm.serve.lora.folder == str(tmp_path)
    for before in (plain, both):
        served = with_weights(before, tmp_path / "model").llm
        assert served.serve.source == str(tmp_path / "model")
        assert served.serve.lora.folder is None
        assert (served.model, served.serve.max_num_seqs) == (before.llm.model, before.llm.serve.max_num_seqs)


def test_a_base_that_vllm_cannot_serve_is_one_line_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]})
    )
    llm = {"serve": {"source": str(tmp_path)}}
    for row in ("oppu_k0", "finetuned_k0"):
        with pytest.raises(UserError, match="T5ForConditionalGeneration is no decoder LM") as error:
            serve_adapters(config(evaluate={"methods": [row]}, llm=llm), tmp_path)
        assert "\n" not in str(error.value)
    plain = config(evaluate={"methods": ["recency_k1"]}, llm=llm)
    assert serve_adapters(plain, tmp_path) is plain


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"llm": {"serve": {"source": "org/model"}}}, "training needs weights in a folder"),
        ({"lora": {"task_targets": ["c_attn"]}}, "the base has no linear layer 'c_attn'"),
    ],
)
def test_weights_that_cannot_be_trained_are_one_line_before_anything_is_asked(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(UserError, match=rf"^evaluate\.methods: peft_k0 cannot run: .*{why}"):
        serve_adapters(config(evaluate={"methods": ["peft_k0"]}, **changes), tmp_path)


def test_an_encoder_decoder_may_be_fine_tuned_but_has_no_adapters(tmp_path: Path) -> None:
    llm = {"serve": {"engine": "transformers", "source": str(write_t5(tmp_path / "t5"))}}
    trained = config(evaluate={"methods": ["finetuned_k0"]}, llm=llm)
    assert serve_adapters(trained, tmp_path) is trained
    assert with_weights(trained, tmp_path / "model").llm.in_process
    with pytest.raises(UserError, match=r"^evaluate\.methods: oppu_k0 trains LoRA adapters of a decoder LM: set llm"):
        serve_adapters(config(evaluate={"methods": ["finetuned_k0", "oppu_k0"]}, llm=llm), tmp_path)
    with pytest.raises(UserError, match=r"^resources\.ask\.num_gpus=2: .* holds the LLM on one GPU: give 1"):
        serve_adapters(config(llm=llm, resources={"ask": {"num_gpus": 2}}), tmp_path)


def test_a_decoder_is_no_llm_of_transformers_engine(tmp_path: Path) -> None:
    llm = {"serve": {"engine": "transformers", "source": str(write_llama(tmp_path / "llama"))}}
    with pytest.raises(UserError, match=r"LlamaForCausalLM is no encoder-decoder LM.*llm\.serve\.engine=vllm$"):
        serve_adapters(config(llm=llm), tmp_path)
    hub = config(llm={"serve": {"engine": "transformers", "source": "google/flan-t5-base"}})
    assert serve_adapters(hub, tmp_path) is hub
