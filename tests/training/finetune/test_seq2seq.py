"""An encoder-decoder's rows and loss."""

from typing import Any

import pytest
import torch

from hydra_ray.errors import UserError
from hydra_ray.models.seq2seq import Seq2Seq, load_seq2seq
from hydra_ray.training.finetune.seq2seq import Seq2SeqRowTokenizer, seq2seq_losses
from hydra_ray.training.user_lora.rows import LoraRow, TokenRow
from hydra_ray.utils.device import CPU
from tests.models.small_t5 import write_t5


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Seq2Seq:
    return load_seq2seq(str(write_t5(tmp_path_factory.mktemp("t5") / "model")))


def row(prompt: str, answer: str = "amber") -> LoraRow:
    return LoraRow("u", prompt, answer)


def test_the_prompt_is_what_the_encoder_reads_and_the_answer_is_learned(base: Seq2Seq) -> None:
    made = Seq2SeqRowTokenizer(base.tokenizer, 100)(row("Tag of the heron?"))
    encode = base.tokenizer
    assert made.ids[: made.prompt] == tuple(encode("Tag of the heron?")["input_ids"])
    assert made.ids[made.prompt :] == tuple(encode("amber")["input_ids"])
    assert made.ids[made.prompt - 1] == made.ids[-1] == encode.eos_token_id
    assert made.cut == 0


def test_a_long_prompt_loses_its_beginning_the_answer_and_the_system_prompt_nothing(base: Seq2Seq) -> None:
    long, system = " heron" * 50 + " Tag:", "Answer with a tag."
    whole = Seq2SeqRowTokenizer(base.tokenizer, 1000, system)(row(long))
    made = Seq2SeqRowTokenizer(base.tokenizer, 30, system)(row(long))
    head = len(base.tokenizer(f"{system}\n\n", add_special_tokens=False)["input_ids"])
    assert len(made.ids) == 30
    assert made.cut == len(whole.ids) - 30
    assert made.ids == (*whole.ids[:head], *whole.ids[head + made.cut :])
    assert made.ids[made.prompt :] == whole.ids[whole.prompt :]


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (row("heron", " "), "finetune: a row of user 'u' has an empty answer; leave the row out"),
        (row(" "), "finetune: a row of user 'u' has an empty prompt; leave the row out"),
        (row("heron", " amber" * 40), r"the answer takes \d+ tokens with its end, which leaves no room for a prompt"),
    ],
)
def test_rows_that_cannot_be_trained_are_one_line(base: Seq2Seq, wrong: LoraRow, line: str) -> None:
    with pytest.raises(UserError, match=line) as error:
        Seq2SeqRowTokenizer(base.tokenizer, 40)(wrong)
    assert "\n" not in str(error.value)


def test_the_loss_of_a_batch_is_that_of_each_row_by_the_models_own_loss(base: Seq2Seq) -> None:
    make = Seq2SeqRowTokenizer(base.tokenizer, 100)
    rows = [make(row(f"Tag of the{' brown' * i} heron?", "amber " * (1 + i % 3))) for i in range(5)]

    def alone(one: TokenRow) -> float:
        ids, labels = torch.tensor([one.ids[: one.prompt]]), torch.tensor([one.ids[one.prompt :]])
        out: Any = base.model(input_ids=ids, labels=labels)
        return float(out.loss) * one.learned

    with torch.no_grad():
        found = seq2seq_losses(base.model, rows, CPU)
        assert found.tolist() == pytest.approx([alone(one) for one in rows], rel=1e-4)


def test_padding_changes_nothing(base: Seq2Seq) -> None:
    make = Seq2SeqRowTokenizer(base.tokenizer, 300)
    short, long = make(row("heron")), make(row(" heron" * 200, "amber " * 9))
    with torch.no_grad():
        together, alone = (seq2seq_losses(base.model, rows, CPU) for rows in ([short, long], [short]))
    assert float(together[0]) == pytest.approx(float(alone[0]), rel=1e-5)
