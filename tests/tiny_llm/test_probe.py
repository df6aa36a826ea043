"""The package's own weights follow the examples of people they have never seen."""

from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from hydra_ray.core.tasks import load_task
from hydra_ray.tiny_llm.export import embedded_path
from hydra_ray.tiny_llm.probe import CONDITIONS, behaviour, generate, probes
from hydra_ray.tiny_llm.tokenizer import load_tokenizer

BY_NAME = {condition.name: condition for condition in CONDITIONS}


@pytest.fixture(scope="module")
def served() -> tuple[Any, Any]:
    return (
        LlamaForCausalLM.from_pretrained(str(embedded_path()), dtype=torch.float32).eval(),
        load_tokenizer(embedded_path()),
    )


def test_tagging_follows_examples(served: tuple[Any, Any]) -> None:
    names = ("none", "one_other", "one_matching", "four_with_one", "four_with_two_or_three")
    right = {
        name: values["right"]
        for name, values in behaviour(*served, ["tagging"], 160, [BY_NAME[n] for n in names])["tagging"].items()
    }
    assert right["one_matching"] >= 0.8
    assert right["none"] <= 0.35
    assert right["one_other"] <= 0.4
    assert right["four_with_one"] >= 0.6
    assert right["four_with_two_or_three"] >= 0.8


def test_rating_and_headline_follow_examples(served: tuple[Any, Any]) -> None:
    names = ("none", "four_matching")
    figures = behaviour(*served, ["rating", "headline"], 32, [BY_NAME[n] for n in names])
    assert figures["rating"]["four_matching"]["mae"] < 0.5 < figures["rating"]["none"]["mae"]
    assert figures["headline"]["four_matching"]["rouge1"] > 0.6 > figures["headline"]["none"]["rouge1"]


def test_samples_vary(served: tuple[Any, Any]) -> None:
    task = load_task("synthetic_tagging")
    prompts = [p.prompt for p in probes("tagging", BY_NAME["one_other"], 8)]
    drawn = [generate(*served, prompts, task, temperature=1.0, seed=s) for s in range(8)]
    assert sum(len(set(answers)) for answers in zip(*drawn, strict=True)) / 8 > 2
