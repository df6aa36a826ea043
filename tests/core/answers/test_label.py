"""What LLMs write around a label: the label, or none."""

import pytest

from hydra_ray.core.answers.parse import parse_answer
from hydra_ray.core.tasks import Task


def _task(**given: object) -> Task:
    common = {"name": "own", "text_fields": ["text"], "answer_field": "a", "instruction": "Do.", "text_label": "Mail"}
    return Task.model_validate(common | given)


TAGS = _task(
    kind="classification", answer_label="Tag", primary_metric="accuracy", labels=["billing", "refund", "credit_card"]
)

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
        (("ดี", "แย่"), "โดนหลอก", ""),
        (("ดี", "แย่"), "หนังเรื่องนี้ดีมาก", "ดี"),
        (("ด", "แย่"), "หนังเรื่องนี้ดีมาก", ""),
        (("खेल", "दिन"), "खोल", ""),
        (("खेल", "दिन"), "यह खेल है", "खेल"),
        (("खेल", "दिन"), "**खेल**", "खेल"),
        (("खेल", "दिन"), "खेले", ""),
        (("क ख", "दिन"), "का ख", ""),
        (("खेल-कूद", "दिन"), "खेल कूद", "खेल-कूद"),
        (("billing", "refund"), "❤\ufe0fbilling", "billing"),
        (("billing", "refund"), "billing⚠\ufe0f", "billing"),
        (("1", "2"), "1\ufe0f\u20e3", "1"),
        (("счёт", "возврат"), "Тег: Счёт.", "счёт"),
        (("счёт", "возврат"), "не счёт", ""),
        (("Rechnung", "Storno"), "nicht Rechnung", ""),
        (("Straße", "Weg"), "STRASSE", "Straße"),
        (("IT", "it", "Billing"), "IT.", "IT"),
        (("IT", "it", "Billing"), "it.", "it"),
        (("IT", "it", "Billing"), "Tag: IT", "IT"),
        (("IT", "it", "Billing"), "The tag is **it**", "it"),
        (("IT", "it", "Billing"), "It.", ""),
        (("IT", "it", "Billing"), "IT or it", ""),
        (("IT", "it", "Billing"), "It is about BILLING.", "Billing"),
        (("IT", "it", "Billing"), "not IT", ""),
        (("IT", "it", "IT support"), "tag: it support.", "IT support"),
    ],
)
def test_labels_of_every_shape(labels: tuple[str, ...], raw: str, label: str) -> None:
    assert parse_answer(TAGS.model_copy(update={"labels": labels}), raw) == label
