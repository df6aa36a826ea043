"""The page's charts."""

from hydra_ray.report.html import html_report
from tests.report.html_page import parse
from tests.report.made_up import report_of


def test_drawings_are_named_and_tables_have_headers() -> None:
    page = parse(html_report(report_of()))
    ids = {attributes.get("id") for _, attributes in page.tags}
    drawings = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(drawings) == 3
    for drawing in drawings:
        assert drawing["role"] == "img"
        assert set((drawing["aria-labelledby"] or "").split()) <= ids
    tables = sum(tag == "table" for tag, _ in page.tags)
    assert tables == sum(tag == "caption" for tag, _ in page.tags) == sum(tag == "thead" for tag, _ in page.tags)
    assert all(attributes.get("scope") in ("row", "col") for tag, attributes in page.tags if tag == "th")
