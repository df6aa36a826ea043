"""README and docs: links lead somewhere, pictures are there, sizes and facts are kept."""

import ast
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

import hydra_ray
from tests.docs.pages import PAGES, README, ROOT, anchors, blocks, links, name_of, prose

LONGEST_README = 200
PICTURES = sorted(ROOT.glob("docs/images/*.svg"))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_resolves(page: Path) -> None:
    broken = []
    for target in links(page):
        path, _, fragment = target.partition("#")
        if "://" in path or path.startswith("mailto:"):
            continue
        file = page.parent / path if path else page
        if not file.exists() or (fragment and fragment not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_a_newcomer_can_read_the_readme_in_one_sitting() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= LONGEST_README


def test_every_page_of_the_docs_is_in_their_index() -> None:
    for index in (ROOT / "docs" / "README.md", ROOT / "docs" / "design" / "README.md"):
        listed = {(index.parent / target.partition("#")[0]).resolve() for target in links(index)}
        assert set(index.parent.glob("*.md")) - {index} <= listed


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_in_pages_is_python_and_uses_names_that_exist(page: Path) -> None:
    for language, code in blocks(page):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "hydra_ray":
                assert hasattr(hydra_ray, node.attr)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_make_target_named_is_in_the_makefile(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = "\n".join([prose(page), *(code for _, code in blocks(page))])
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", shown, re.MULTILINE)) <= targets


@pytest.mark.parametrize("picture", PICTURES, ids=name_of)
def test_pictures_are_drawn_with_a_title_for_those_who_cannot_see_them(picture: Path) -> None:
    tree = ElementTree.parse(picture).getroot()
    assert tree.tag == "{http://www.w3.org/2000/svg}svg"
    assert "viewBox" in tree.attrib
    title = tree.find("{http://www.w3.org/2000/svg}title")
    assert title is not None
    assert title.text


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == hydra_ray.__version__
    (paper,) = citation["references"]
    assert paper["doi"] == "10.48550/arXiv.2406.02888"
