"""Rows as tokens: what is learned, what is cut, what is refused."""

import pytest

from hydra_ray.errors import UserError
from hydra_ray.models.lora.decoder import Decoder
from hydra_ray.training.user_lora.rows import LoraRow, RowTokenizer, tokenise_rows
from tests.training.user_lora.some_rows import rows_of_user

ROW = LoraRow("ann", "The film is long.\n\nTag:", "drama")


def test_the_answer_and_the_end_are_learned(base: Decoder) -> None:
    row = RowTokenizer(base.tokenizer, 200)(ROW)
    assert base.tokenizer.decode(row.ids[: row.prompt]) == f"<s>{ROW.prompt}"
    assert base.tokenizer.decode(row.ids[row.prompt :]) == " drama</s>"
    assert (row.cut, row.learned) == (0, len(row.ids) - row.prompt)


def test_tokens_are_those_that_the_llm_is_asked_with(base: Decoder) -> None:
    row = rows_of_user(0, 1)[0]
    asked = base.tokenizer.apply_chat_template(
        [{"role": "user", "content": row.prompt}], add_generation_prompt=True, return_dict=False
    )
    found = RowTokenizer(base.tokenizer, 200)(row)
    assert list(found.ids[: found.prompt]) == asked


def test_a_long_prompt_loses_its_front(base: Decoder) -> None:
    whole = RowTokenizer(base.tokenizer, 200)(ROW)
    for max_tokens in range(len(whole.ids) - 1, whole.learned + 1, -1):
        row = RowTokenizer(base.tokenizer, max_tokens)(ROW)
        assert row.cut == len(whole.ids) - max_tokens
        assert row.ids == (whole.ids[0], *whole.ids[1 + row.cut :])
        assert row.learned == whole.learned
    with pytest.raises(UserError, match=r"row 7 of user 'ann': the answer takes \d+ tokens with its end, which leaves"):
        RowTokenizer(base.tokenizer, whole.learned + 1)(ROW, 7)


def test_an_answer_that_is_too_long_alone(base: Decoder) -> None:
    with pytest.raises(UserError, match=r"leaves no room for a prompt within lora\.max_tokens=20"):
        RowTokenizer(base.tokenizer, 20)(LoraRow("ann", "Tag:", "drama " * 40))
    with pytest.raises(UserError, match=r"^finetune: row 0 .* room for a prompt within finetune\.max_tokens=20"):
        RowTokenizer(base.tokenizer, 20, section="finetune")(LoraRow("ann", "Tag:", "drama " * 40))


@pytest.mark.parametrize(("prompt", "answer", "what"), [("Tag:", " \n", "answer"), ("  ", "drama", "prompt")])
def test_nothing_to_learn_from(base: Decoder, prompt: str, answer: str, what: str) -> None:
    with pytest.raises(UserError, match=f"row 1 of user 'ann' has an empty {what}"):
        tokenise_rows([ROW, LoraRow("ann", prompt, answer)], ["ann"], RowTokenizer(base.tokenizer, 50))


class _Templated:
    """The base's tokenizer with another chat template."""

    def __init__(self, base: Decoder, template: str | None) -> None:
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(str(base.folder))
        self.tokenizer.chat_template = template


CHATML = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def test_other_templates(base: Decoder) -> None:
    turns = RowTokenizer(_Templated(base, CHATML).tokenizer, 200)(ROW)
    assert base.tokenizer.decode(turns.ids[: turns.prompt]) == f"<|user|>\n{ROW.prompt}\n<|assistant|>\n"
    assert base.tokenizer.decode(turns.ids[turns.prompt :]) == "drama</s>"
    short = RowTokenizer(_Templated(base, CHATML).tokenizer, len(turns.ids) - 3)(ROW)
    shown = base.tokenizer.decode(short.ids[: short.prompt])
    assert shown.startswith("<|user|>\n")
    assert shown.endswith("Tag:\n<|assistant|>\n")
    assert short.cut == 3
    plain = RowTokenizer(_Templated(base, None).tokenizer, 200)(ROW)
    assert plain.ids == RowTokenizer(base.tokenizer, 200)(ROW).ids


def test_a_system_prompt_stands_before_the_prompt_and_is_never_cut(base: Decoder) -> None:
    chat = _Templated(base, CHATML).tokenizer
    whole = RowTokenizer(chat, 200, "Tag as PROMPT says.")(ROW)
    shown = f"<|system|>\nTag as PROMPT says.\n<|user|>\n{ROW.prompt}\n<|assistant|>\n"
    assert base.tokenizer.decode(whole.ids[: whole.prompt]) == shown
    short = RowTokenizer(chat, len(whole.ids) - 3, "Tag as PROMPT says.")(ROW)
    assert base.tokenizer.decode(short.ids[: short.prompt]).startswith("<|system|>\nTag as PROMPT says.\n<|user|>\n")
    assert short.cut == 3
    plain = RowTokenizer(_Templated(base, None).tokenizer, 200, "Tag.")(ROW)
    assert base.tokenizer.decode(plain.ids[: plain.prompt]).startswith(f"<s>Tag.\n\n{ROW.prompt}")


def test_a_template_that_takes_no_system_prompt(base: Decoder) -> None:
    refuses = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system role') }}{% endif %}" + CHATML
    with pytest.raises(UserError, match=r"takes no such messages \(No system role\).*llm.system_prompt=null"):
        RowTokenizer(_Templated(base, refuses).tokenizer, 200, "Tag.")


def test_a_template_without_the_message(base: Decoder) -> None:
    with pytest.raises(UserError, match="leaves the message out"):
        RowTokenizer(_Templated(base, "{{ bos_token }}").tokenizer, 200)


def test_users_without_rows_and_rows_without_users(base: Decoder) -> None:
    tokenize = RowTokenizer(base.tokenizer, 50)
    users = tokenise_rows([ROW, ROW], ["bob", "ann"], tokenize)
    assert [(user.user_id, len(user.rows)) for user in users] == [("bob", 0), ("ann", 2)]
    with pytest.raises(UserError, match="a row belongs to user 'ann', who is not among those"):
        tokenise_rows([ROW], ["bob"], tokenize)


def test_half_a_surrogate_pair_is_no_mistake(base: Decoder) -> None:
    row = RowTokenizer(base.tokenizer, 50)(LoraRow("ann", "Tag\ud800:", "dra\udc00ma"))
    assert "?" in base.tokenizer.decode(row.ids[row.prompt :])
