import pytest

from hydra_ray.data.mails import BOUNDARY, parse_mail
from tests.data.made_up_mails import ENCODED, MULTIPART


def test_an_encoded_subject_is_decoded_and_on_one_line() -> None:
    found = parse_mail(ENCODED)
    assert (found.subject, found.body) == ("Grüße from the garden", "The gate is grün.")


def test_plain_text_comes_first_then_html_then_other_text_and_no_attachment() -> None:
    found = parse_mail(MULTIPART)
    assert found.body == f"Tea at four.{BOUNDARY}<p>Tea at four.</p>{BOUNDARY}BEGIN:VCALENDAR"


@pytest.mark.parametrize(
    ("content", "subject", "body"),
    [
        ("Subject: Grüße\n\nschön".encode(), "Grüße", "schön"),
        ("Subject: Grüße\n\nschön".encode("latin-1"), "Grüße", "schön"),
        (b"Subject: =?nope?q?a=E9?=\n\nx", "aé", "x"),
        (b"Subject: =?utf-8?q?one_?= two =?utf-8?q?three?=\n\nx", "one  two three", "x"),
        (b"Subject: a  \nContent-Type: text/plain; charset=nope\n\n \xe9 \n", "a  ", "é"),
        (b"Subject: a\nContent-Type: text/plain; charset=utf-7\n\n+2AA-", "a", "+2AA-"),
        (b"Subject: a\nContent-Transfer-Encoding: base64\n\naMOpCg==", "a", "hé"),
        (b"Subject: a\nContent-Type: multipart/mixed; boundary=never\n\nx", "a", ""),
        (b"no headers at all", "", "no headers at all"),
        (b"Subject: a\nContent-Disposition: attachment; filename*=idna'x'%ff.txt\n\nx", "a", ""),
        (b"Subject: a\nContent-Type: text/plain; charset*=u\0tf'x'a%ff\n\nx", "a", "x"),
        (b"", "", ""),
    ],
)
def test_odd_mails_are_read(content: bytes, subject: str, body: str) -> None:
    found = parse_mail(content)
    assert (found.subject, found.body) == (subject, body)
