"""Batches of rows, compared with transformers' own `generate` for each prompt alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hydra_ray.config import LLMConfig
from hydra_ray.config.resources import AskResources
from hydra_ray.errors import UserError
from hydra_ray.llm.seq2seq.generator import Seq2SeqGenerator, dtype_named
from hydra_ray.llm.seq2seq.rows import PromptRow
from hydra_ray.models.seq2seq import load_seq2seq
from tests.models.small_t5 import write_bart, write_t5

Make = Callable[..., LLMConfig]
TEXTS = [f"Note: {'the brown ' * i}heron {i} is here.\nTag:" for i in range(7)]


@pytest.mark.parametrize("beams", [1, 4])
def test_an_answer_is_that_of_its_prompt_alone(config: Make, t5: Path, beams: int) -> None:
    generator, plain = Seq2SeqGenerator(config(), AskResources()), load_seq2seq(str(t5))
    rows = [PromptRow(generator.encode(text), 6, beams) for text in TEXTS]
    answers = generator.answers(rows)
    for text, answer in zip(TEXTS, answers, strict=True):
        ids = plain.tokenizer(text, return_tensors="pt")
        out = plain.model.generate(**ids, max_new_tokens=6, num_beams=beams, do_sample=False)[0, 1:]
        assert answer.text == plain.tokenizer.decode(out, skip_special_tokens=True)
        assert answer.tokens == int((out != plain.tokenizer.pad_token_id).sum())
        assert answer.finish == ("stop" if plain.tokenizer.eos_token_id in out else "length")
    assert len({answer.text for answer in answers}) > 2


def test_samples_do_not_depend_on_the_batch(config: Make) -> None:
    generator = Seq2SeqGenerator(config(), AskResources())
    rows = [PromptRow(generator.encode(text), 6, 1, 1.0 * (i % 2), i) for i, text in enumerate(TEXTS)]
    whole = generator.answers(rows)
    assert whole == [generator.answers([row])[0] for row in rows]
    assert whole == generator.answers(rows)
    again = generator.answers([PromptRow(rows[1].ids, 6, 1, 1.0, 99)])
    assert again[0].text != whole[1].text


def test_a_prompt_is_read_once_for_all_its_samples(config: Make) -> None:
    generator = Seq2SeqGenerator(config(), AskResources())
    prompts = [generator.encode(text) for text in TEXTS[:2]]
    rows = [PromptRow(ids, 6, 1, 1.0, seed) for ids in prompts for seed in range(4)]
    read: list[int] = []
    encoder = generator._model.get_encoder()
    encoder.register_forward_pre_hook(lambda _, args, more: read.append(len(more["input_ids"])), with_kwargs=True)
    answers = generator.answers(rows)
    assert read == [2]
    assert answers == [generator.answers([row])[0] for row in rows]


def test_how_answers_end_and_what_they_cost(config: Make) -> None:
    generator = Seq2SeqGenerator(config(), AskResources())
    model = generator._model
    with torch.no_grad():
        model.lm_head.weight[:] = 0.0
    assert generator.encode("heron")[-1] == 1

    def answer(token: int) -> tuple[str, int, str]:
        """What comes where one token is always the most likely one."""
        hook = model.lm_head.register_forward_hook(
            lambda module, args, out: out + 100.0 * (torch.arange(1181) == token)
        )
        found = generator.answers([PromptRow((300, 1), 5)])[0]
        hook.remove()
        return found.text, found.tokens, found.finish

    assert answer(1) == ("", 1, "empty")  # the end token at once
    (word,) = generator.encode(" heron")[:1]
    assert answer(word) == (" heron" * 5, 5, "length")


def test_settings_of_the_weights_own_file_are_left(config: Make, tmp_path: Path) -> None:
    folder = write_t5(tmp_path / "model")
    before = Seq2SeqGenerator(config({"source": str(folder)}), AskResources())
    rows = [PromptRow(before.encode(text), 6) for text in TEXTS]
    expected = before.answers(rows)
    load = load_seq2seq(str(folder)).model
    load.generation_config.num_beams = 3
    load.generation_config.repetition_penalty = 2.0
    load.generation_config.save_pretrained(str(folder))
    assert Seq2SeqGenerator(config({"source": str(folder)}), AskResources()).answers(rows) == expected


def test_weights_without_generation_settings_answer_alike(config: Make, tmp_path: Path) -> None:
    folder = write_t5(tmp_path / "model")
    rows = [PromptRow(Seq2SeqGenerator(config({"source": str(folder)}), AskResources()).encode(text), 6)
            for text in TEXTS]  # fmt: skip
    expected = Seq2SeqGenerator(config({"source": str(folder)}), AskResources()).answers(rows)
    (folder / "generation_config.json").unlink()
    assert Seq2SeqGenerator(config({"source": str(folder)}), AskResources()).answers(rows) == expected


def test_number_formats(config: Make) -> None:
    assert dtype_named("bfloat16") == torch.bfloat16
    generator = Seq2SeqGenerator(config({"dtype": "bfloat16"}), AskResources())
    assert generator._model.dtype == torch.bfloat16
    assert len(generator.answers([PromptRow(generator.encode(TEXTS[0]), 3)])) == 1
    for name in ("int8", "float7", "nn"):
        with pytest.raises(UserError, match=rf"^llm\.serve\.dtype={name}: no number format of weights: give float32"):
            dtype_named(name)


def test_a_window_that_the_positions_do_not_reach_is_one_line(config: Make, tmp_path: Path) -> None:
    folder = write_bart(tmp_path / "bart", 128)
    with pytest.raises(UserError, match=r"^llm\.serve\.max_model_len=1536: the LLM reads 128 tokens at most: set "):
        Seq2SeqGenerator(config({"source": str(folder)}), AskResources())
    generator = Seq2SeqGenerator(config({"source": str(folder), "max_model_len": 128}), AskResources())
    assert generator.answers([PromptRow(generator.encode(TEXTS[0]), 3, 2)])[0].tokens <= 3


def test_a_gpu_that_is_promised_and_not_there_is_one_line(config: Make) -> None:
    if torch.accelerator.is_available():
        pytest.skip("there is one")
    with pytest.raises(UserError, match="a worker was promised a GPU"):
        Seq2SeqGenerator(config(), AskResources(num_gpus=1))
