"""What LLMs write around an answer, kind by kind: the answer, or none."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_ray.core.answers.parse import is_unusable, matches_gold, parse_answer, parse_gold, parsed_texts
from hydra_ray.core.tasks import Task, load_task


def _task(**given: object) -> Task:
    common = {"name": "own", "text_fields": ["text"], "answer_field": "a", "instruction": "Do.", "text_label": "Mail"}
    return Task.model_validate(common | given)


TAGS = _task(
    kind="classification", answer_label="Tag", primary_metric="accuracy", labels=["billing", "refund", "credit_card"]
)
RATING, HEADLINE = load_task("lamp_3"), load_task("lamp_4")
REPLY = _task(kind="generation", answer_label="Reply", primary_metric="rouge1")

BILLING = [
    "Sure! Here is the tag:\nbilling",
    "Sure! Here is the tag: billing",
    "**billing**",
    "_billing_",
    "Tag: billing.",
    "**Tag:** billing",
    "## Tag\n\nbilling",
    "tag = 'billing'",
    "Tag -> billing",
    '{"tag": "billing"}',
    '{"reason": "a refund was not asked for", "tag": "Billing"}',
    '```json\n{"tag": "billing"}\n```',
    'Here you go:\n```json\n{\n  "tag": "billing"\n}\n```\nLet me know!',
    '{"result": {"tag": "billing", "confidence": 0.9}}',
    '{"tag": ["billing"]}',
    '["billing"]',
    '{"tag": "billing"',
    "{'tag': 'billing'}",
    "```\nbilling\n```",
    "billing.",
    "BILLING!",
    "The answer is **billing**",
    "The answer is: billing",
    "the most likely tag would be billing",
    "<answer>billing</answer>",
    "<think>refund?</think><answer>billing</answer>",
    "<tag>billing</tag>",
    "\\boxed{billing}",
    "\\boxed{\\text{billing}}",
    "1. billing",
    "1) **Billing**",
    "- billing",
    "• billing",
    "> billing",
    "“billing”",
    "«billing»",
    "billing<|im_end|>",
    "billing</s>",
    "billing ✅",
    "ｂｉｌｌｉｎｇ",
    "This mail is about billing",
    "It's billing, as the customer has not paid yet",
    "billing\n\nThe customer did not ask for a refund.",
    "billing. The customer asks why a refund is late.",
    "It could be billing or refund.\nThe answer is billing.",
    "Billing fits, refund fits less well.\n\n**Final answer:** billing",
    "Tag: refund\nWait, there is an invoice.\nFinal answer: billing",
    "Billing and refund are both possible. I would say billing.",
    "1. billing\n2. refund\n\nTag: billing",
    "So the tag is billing, without doubt",
    "billing\n\nMail: where is my money?\nTag: refund",
    "I'm sorry, it is hard to say.\nTag: billing",
    "<think>Is it a refund? No.</think>\n\nbilling",
    "Is it a refund? No.\n</think>\n\nbilling",
    "[THINK]refund[/THINK]billing",
    "<|channel|>analysis<|message|>refund?<|end|><|start|>assistant<|channel|>final<|message|>billing<|return|>",
]
NO_TAG = [
    "not billing",
    "Not billing.",
    "billing is not right",
    "It isn't billing",
    "It isn’t billing",
    "This is definitely no billing mail",
    "Tag: not billing",
    "The tag is not billing",
    '{"tag": "not billing"}',
    '{"tag": null}',
    '{"tag": ["billing", "refund"]}',
    '{"tag": "billing"}\n{"tag": "refund"}',
    "<answer>billing</answer><answer>refund</answer>",
    "neither billing nor refund",
    "billing or refund",
    "billing/refund",
    "billing, refund, credit_card",
    "1. billing\n2. refund",
    "billing\nor refund",
    "billing\nrefund",
    "Tag: billing\nTag: refund",
    "billing\n\nThe answer is refund",
    "Billing. Actually, refund.",
    "anything other than billing",
    "a refund rather than billing",
    "Is this about billing?",
    "I'm sorry, I can't help with that billing question.",
    "I’m sorry, but I can’t tell whether it is billing.",
    "I am unable to tag billing mails",
    "I apologize, billing mails are confidential",
    "Sorry! A mail on billing can be tagged by your team",
    "As an AI I have no view on billing",
    "I cannot determine the tag.",
    "I cannot determine whether this is billing",
    "Unfortunately a billing mail needs more context",
    "<think>It is billing",
    "<think>It is billing, so I answer billing\n\nbilling",
    "<thinking>billing",
    "<think>billing</think>",
    "[THINK]billing",
    "<|channel|>analysis<|message|>billing",
    "prebilling",
    "billings",
    "",
    "   ",
    "```\n```",
    "{}",
    "none",
]


@pytest.mark.parametrize("raw", BILLING)
def test_it_is_billing(raw: str) -> None:
    assert parse_answer(TAGS, raw) == "billing"


@pytest.mark.parametrize("raw", NO_TAG)
def test_it_is_no_tag(raw: str) -> None:
    assert parse_answer(TAGS, raw) == ""


@pytest.mark.parametrize("raw", ["credit card", "Credit-Card", "Tag: credit_card.", "It is about a credit card"])
def test_underscores_are_blanks(raw: str) -> None:
    assert parse_answer(TAGS, raw) == "credit_card"


@pytest.mark.parametrize(
    ("labels", "raw", "label"),
    [
        (("spam", "not spam"), "This is not spam.", "not spam"),
        (("spam", "not spam"), "Not spam", "not spam"),
        (("spam", "not spam"), "spam", "spam"),
        (("yes", "no"), "No, it is not.", "no"),
        (("yes", "no"), "Yes.", "yes"),
        (("toxic", "non-toxic"), "The answer is non toxic", "non-toxic"),
        (("none", "some"), "None", "none"),
        (("true", "false"), '{"answer": true}', "true"),
        (("A", "B", "C"), "B) Paris", "B"),
        (("A", "B", "C"), "The answer is (B).", "B"),
        (("u.s. politics", "world"), "It is U.S. politics", "u.s. politics"),
        (("node.js", "python"), "Tag: Node.js.", "node.js"),
        (("research & development", "sales"), "Research and Development", "research & development"),
        (("r&d", "sales"), "It belongs to R & D", "r&d"),
        (("账单", "退款"), "标签是账单。", "账单"),
        (("账单", "退款"), "不是账单", ""),
        (("喜剧", "黑色喜剧"), "这是黑色喜剧", "黑色喜剧"),
        (("счёт", "возврат"), "Тег: Счёт.", "счёт"),
        (("счёт", "возврат"), "не счёт", ""),
        (("Rechnung", "Storno"), "nicht Rechnung", ""),
        (("Straße", "Weg"), "STRASSE", "Straße"),
    ],
)
def test_labels_of_every_shape(labels: tuple[str, ...], raw: str, label: str) -> None:
    assert parse_answer(TAGS.model_copy(update={"labels": labels}), raw) == label


@pytest.mark.parametrize(
    ("raw", "rating"),
    [
        ("I would give this 4 stars", "4"),
        ("I would give it four stars.", "4"),
        ('{"score": 4}', "4"),
        ('{"reason": "2 screws were missing", "score": "4"}', "4"),
        ('```json\n{"rating": 4}\n```', "4"),
        ("Rating: 4/5", "4"),
        ("**Score:** 4", "4"),
        ("Score: 4. The 2 screws were missing.", "4"),
        ("The score is four.", "4"),
        ("4 stars out of 5", "4"),
        ("4/5 (80%)", "4"),
        ("On a scale of 1 to 5, I would give this a 4.", "4"),
        ("4\n\nI have used it for 2 years.", "4"),
        ("4\n\nReview: broke at once\nScore: 1", "4"),
        ("It could be 3 or 4.\nFinal answer: 4", "4"),
        ("★★★★☆", "4"),
        ("⭐⭐⭐⭐", "4"),
        ("⭐️⭐️⭐️⭐️", "4"),
        ("４", "4"),
        ("<think>3? 5?</think>4", "4"),
        ("\\boxed{4}", "4"),
        ("between 3 and 4", ""),
        ("3 or 4", ""),
        ("3 to 4 stars", ""),
        ("not 4", ""),
        ("more than 3", ""),
        ("at least 4 stars", ""),
        ("80%", ""),
        ("4/10", ""),
        ("★★★★☆☆", ""),
        ("\u22124", ""),
        ("One thing is sure: it is great", ""),
        ("I bought 2 of them and I would buy 4", ""),
        ("I'm sorry, I cannot rate this", ""),
        ("<think>4 stars", ""),
        ('{"score": null}', ""),
        ("1 to 5", ""),
    ],
)
def test_rating(raw: str, rating: str) -> None:
    assert parse_answer(RATING, raw) == rating


@pytest.mark.parametrize(
    "raw",
    [
        'Sure! Here is a headline:\n"Rain in Spain"',
        'Sure! Here is a headline: "Rain in Spain"',
        "Certainly! Here's a possible headline for the article:\n\n**Rain in Spain**",
        "Here are some ideas:\n\nRain in Spain",
        "Headline: Rain in Spain",
        "**Headline:** Rain in Spain",
        "**Headline: Rain in Spain**",
        "Headline:\nRain  in Spain",
        '{"headline": "Rain in Spain"}',
        '```json\n{"headline": "Rain in Spain"}\n```',
        "```\nRain in Spain\n```",
        "“Rain in Spain”",
        "Rain in Spain<|im_end|>",
        "<think>Sun?</think>\nRain in Spain",
        "Rain in Spain\n\nThis headline is short.",
        "Rain in Spain\n\nArticle: Sun in France\nHeadline: Sun",
    ],
)
def test_one_line(raw: str) -> None:
    assert parse_answer(HEADLINE, raw) == "Rain in Spain"


def test_one_line_that_ends_in_a_colon_stays_where_nothing_follows() -> None:
    assert parse_answer(HEADLINE, "What we know:") == "What we know:"


LETTER = "Dear Ms Lee,\n\nthank you for your mail:\n  - one\n  - two\n\nBest\nJo"


@pytest.mark.parametrize(
    "raw",
    [
        LETTER,
        f"\n\n  {LETTER}  \n",
        LETTER.replace("\n", "\r\n"),
        f"Reply:\n{LETTER}",
        f"Reply: {LETTER}",
        f"Sure! Here is the reply:\n\n{LETTER}",
        f'"{LETTER}"',
        f"```\n{LETTER}\n```",
        f"<think>polite</think>\n{LETTER}",
        f"{LETTER}\n\nMail: and another\nReply: Dear Mr Kay",
        f"{LETTER}<|im_end|>",
    ],
)
def test_free_text_keeps_every_line(raw: str) -> None:
    assert parse_answer(REPLY, raw) == LETTER


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, I can't make it on Monday.",
        "Here is the code:\n1234",
        "Sure! Here is the address:\nMain Street 1",
        'She said: "No."\n"Yes", I said.',
        "* one\n* two",
        '{"answer": 1, "why": "two fields"}',
        "Best\nJo\nMail: jo@example.org",
    ],
)
def test_free_text_that_looks_like_a_frame_is_left_alone(text: str) -> None:
    assert parse_answer(REPLY, text) == text == parse_gold(REPLY, text)


def test_a_gold_letter_is_whole_and_equals_itself() -> None:
    assert parse_gold(REPLY, f" {LETTER}\r\n") == LETTER
    assert matches_gold(REPLY, LETTER, LETTER)
    assert not matches_gold(REPLY, LETTER, "Dear Ms Lee,")


def test_free_text_of_thoughts_alone_is_no_answer() -> None:
    assert [parse_answer(REPLY, text) for text in ("<think>Dear", "<think>Dear</think>", '"<think>Dear"')] == [""] * 3
    assert all(map(is_unusable, ("<think>Dear", "<think>Dear</think> ", None)))
    assert not any(map(is_unusable, ("", "Dear", "<think>a</think>Dear")))
    assert parsed_texts(REPLY, ["<think>Dear", None, "Dear"]) == ["Dear"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("labels_form", ["NFC", "NFD"])
def test_unicode_forms_are_one(form: str, labels_form: str) -> None:
    labels = [unicodedata.normalize(labels_form, label) for label in ("café", "thé")]
    task = _task(kind="classification", primary_metric="accuracy", labels=labels)
    written = unicodedata.normalize(form, "CAFÉ")
    assert parse_answer(task, written) == parse_gold(task, written) == "café" == task.labels[0]
    assert matches_gold(task, unicodedata.normalize(labels_form, "thé"), unicodedata.normalize(form, "It is thé."))
    free = unicodedata.normalize(form, "Un café,\ns'il vous plaît")
    assert parse_answer(REPLY, free) == parse_gold(REPLY, free) == "Un café,\ns'il vous plaît"


def test_a_label_listed_twice_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="listed twice"):
        _task(kind="classification", primary_metric="accuracy", labels=["caf\u00e9", "cafe\u0301"])


_PIECES = st.sampled_from(
    ["billing", "refund", "not ", "Tag: ", "Reply: ", "\n", '"', "**", "```", "<think>", "</think>", "{", "}", "Mail: ",
     '{"tag": "', '"}', "<answer>", "</answer>", "Sure! Here is the reply:\n", "4", "/5", "four", "★", ". ",
     "é", "e\u0301"]
)  # fmt: skip


@settings(max_examples=300)
@given(pieces=st.lists(_PIECES | st.text(max_size=5), max_size=12))
@pytest.mark.parametrize("task", [TAGS, RATING, HEADLINE, REPLY], ids=lambda task: f"{task.kind}-{task.single_line}")
def test_twice_is_once(task: Task, pieces: list[str]) -> None:
    once = parse_answer(task, "".join(pieces))
    assert parse_answer(task, once) == once
    gold = parse_gold(task, "".join(pieces))
    assert parse_gold(task, gold) == gold
