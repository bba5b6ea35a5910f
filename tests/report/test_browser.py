import importlib.util
import sys

import pytest


@pytest.fixture(scope="module")
def look(root):
    spec = importlib.util.spec_from_file_location("look", root / "tools/look.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["look"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def browser(look):
    program = look.find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine")
    with look.chromium(program) as running:
        yield running


# What there is of these on the page, and whether all contents but those folded away can be read:
# nothing juts out of the window unless it scrolls in a box of its own.
ANSWER = """
({
  scripts: document.scripts.length,
  images: document.images.length,
  drawn: [...document.images].every(image => image.complete && image.naturalWidth > 0),
  jutting: [...document.querySelectorAll('body *')].filter(element =>
    !element.closest('.scroll, pre, details:not([open])')
    && element.getBoundingClientRect().right > window.innerWidth + 1)
    .map(element => element.outerHTML.slice(0, 80)),
  letters: Math.min(...[...document.querySelectorAll('p, td, th, li, code')]
    .map(element => parseFloat(getComputedStyle(element).fontSize))),
})
"""


@pytest.mark.parametrize("width", [1280, 420])
def test_hostile_text_runs_nothing_asks_nothing_and_stays_in_the_window(
    look, browser, hostile, width
):
    found = look.visit(browser, hostile, width, expression=ANSWER)
    assert (found.errors, found.requests, found.overflow) == ([], [], 0)
    assert (found.answer["scripts"], found.answer["images"]) == (0, 1)
    assert found.answer["drawn"]
    assert found.answer["jutting"] == []
    assert found.answer["letters"] >= 10


CONTENTS = """
(() => {
  const link = document.querySelector('nav a[href="#table_01"]');
  return link.checkVisibility() && link.getBoundingClientRect().height > 0;
})()
"""


def test_contents_stand_beside_the_page_where_there_is_room_else_folded(
    look, browser, results, write
):
    write()
    page = results / "report.html"
    shown = {w: look.visit(browser, page, w, expression=CONTENTS).answer for w in (1280, 420)}
    assert shown == {1280: True, 420: False}


def test_what_is_looked_for_is_found(look, browser, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        '<link rel="icon" href="data:,"><p style="width: 900px">wide</p>'
        '<img src="http://a.example/b.png"><script>console.error("told"); throw Error("thrown")'
        "</script>"
    )
    found = look.visit(browser, page, 420, tmp_path / "shot.png")
    assert found.overflow > 400
    assert found.requests == ["http://a.example/b.png"]
    told = " ".join(found.errors)
    assert "told" in told
    assert "Uncaught" in told
    assert (tmp_path / "shot.png").read_bytes().startswith(b"\x89PNG")
