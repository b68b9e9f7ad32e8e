"""The pictures of docs are what the services make of their inputs, and can be read."""

from __future__ import annotations

import re
from itertools import combinations
from xml.parsers import expat

import pytest

from tests.pictures.drawing import SMALL, WIDTH, Box, Picture
from tests.pictures.run import DOCS, PAGE, PICTURES, path, told


def crowded(picture: Picture) -> list[tuple[Box, ...]]:
    """Texts that lie on one another, or beyond the picture's border."""

    def meet(one: Box, other: Box) -> bool:
        across = one.left < other.right and other.left < one.right
        return across and one.top < other.bottom and other.top < one.bottom

    outside = [
        (box,)
        for box in picture.boxes
        if box.left < 0 or box.top < 0 or box.right > WIDTH or box.bottom > picture.height
    ]
    return outside + [pair for pair in combinations(picture.boxes, 2) if meet(*pair)]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_what_the_services_make_of_it(name: str) -> None:
    """Drawn anew from a run, the committed file comes out; its texts are large enough and clear of one another."""
    picture = PICTURES[name]()
    assert crowded(picture) == []
    assert all(int(size) >= SMALL for size in re.findall(r'font-size="(\d+)"', picture.svg()))
    assert path(name).read_text(encoding="utf-8") == picture.svg(), (
        "what it shows has changed: see it, then `make pictures`"
    )


def test_the_pages_show_every_picture_and_no_other() -> None:
    """Each picture is on a page, with a text for those who cannot see it, and no file lies about."""
    pages = "".join(page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("*.md")))
    shown = dict(re.findall(r"!\[([^\]]+)\]\(pictures/([a-z-]+)\.svg\)", pages))
    assert sorted(shown.values()) == sorted(PICTURES)
    assert sorted(file.stem for file in (DOCS / "pictures").glob("*.svg")) == sorted(PICTURES)


def test_the_page_tells_what_lag_prints() -> None:
    """The text of `plantweave lag` on the page is what it says of the run in the picture above it."""
    text = PAGE.read_text(encoding="utf-8")
    assert told(text) == text


def test_texts_on_one_another_are_found() -> None:
    """Two texts at one place, and one beyond the border, are told; neighbours are not."""
    picture = Picture("Title", "What it shows.", 100)
    picture.text(20, 60, "one")
    picture.text(60, 60, "two")
    assert crowded(picture) == []
    picture.text(30, 62, "three")
    picture.text(WIDTH - 5, 90, "four")
    assert {text for boxes in crowded(picture) for *_, text in boxes} == {"one", "two", "three", "four"}


def test_the_file_is_a_picture_with_a_title() -> None:
    """It is well-formed XML, follows the reader's colour scheme, and has title and description for screen readers."""
    picture = Picture("A < B", "One & two.", 100)
    picture.box(10, 40, 60, 60, "good", "ok")
    found: list[str] = []
    parser = expat.ParserCreate()
    parser.CharacterDataHandler = found.append
    parser.Parse(picture.svg(), True)
    assert {"A ", "<", " B", "One ", "&", " two.", "ok"} <= set(found)
    assert "prefers-color-scheme:dark" in picture.svg()
