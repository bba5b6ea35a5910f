import importlib.util
import re


def test_generated_parts_of_the_documents_are_up_to_date(root):
    spec = importlib.util.spec_from_file_location("docs", root / "tools/docs.py")
    docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docs)
    for path, text in docs.documents().items():
        assert path.read_text() == text, f"{path.name} is out of date; run make docs"


def _pages(root):
    names = ("README.md", "config/README.md", "results/README.md")
    return [*(root / name for name in names), *sorted((root / "docs").glob("*.md"))]


def _links(page):
    """Where links of a page lead, of those that do not leave the repository."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]


def _anchors(page):
    """Named anchors, and those that GitHub gives to headings."""
    text = page.read_text()
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}
    return slugs | set(re.findall(r'<a id="(.*?)">', text))


def test_every_link_between_pages_leads_somewhere(root):
    links = [(page, link) for page in _pages(root) for link in _links(page)]
    assert len(links) > 50
    for page, link in links:
        path, _, anchor = link.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in _anchors(there), f"{page.name}: {link}"


def test_the_readme_links_every_page(root):
    linked = {link.partition("#")[0] for link in _links(root / "README.md")}
    pages = {f"docs/{page.name}" for page in (root / "docs").glob("*.md")}
    assert pages <= linked
    assert {"config/README.md", "results/README.md"} <= linked


def _cited(root, pattern):
    """What code, schemas and configs cite of the page of readings."""
    folders = ("scripts", "workflow", "config", "tools", "tests/measure")
    files = [path for folder in folders for path in (root / folder).rglob("*") if path.is_file()]
    texts = (path.read_text() for path in files if path.suffix in (".py", ".smk", ".yaml", ".md"))
    return {found for text in texts for found in re.findall(pattern, text)}


def test_every_cited_reading_and_section_is_explained(root):
    page = (root / "docs/readings.md").read_text()
    anchors = re.findall(r'<a id="x(\d+)"></a>X(\d+) ', page)
    assert anchors == [(str(i), str(i)) for i in range(1, 29)]
    readings = _cited(root, r"\bX(\d+)\b")
    assert {"1", "6"} <= readings
    assert readings <= {number for number, _ in anchors}
    explained = set(
        re.findall(r"\d(?:\.\d)?", "".join(re.findall(r"^\| SPEC (.*?) \|", page, re.M)))
    )
    sections = _cited(root, r"SPEC (\d(?:\.\d)?)")
    assert "4" in sections
    assert sections <= explained


def test_every_row_of_the_page_of_readings_fills_its_columns(root):
    lines = (root / "docs/readings.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith('| <a id="x')]
    assert len(rows) == 28
    for row in rows:
        assert len(row.split("|")) == 9, row[:40]


def _runs(text):
    """Every run of three words."""
    words = re.findall(r"[\w.']+", text)
    return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}


def test_every_sentence_of_the_page_on_trouble_is_one_that_is_printed(root):
    page = (root / "docs/trouble.md").read_text()
    told = re.findall(r"^\| (?:in the log: )?`(.*?)` \|", page, re.M)
    assert len(told) > 70
    folders = (root / "scripts", root / "workflow/rules")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    code = " ".join(path.read_text() for path in files if path.suffix in (".py", ".smk"))
    # Literals that stand behind one another are one. Names and numbers are filled in later, so that
    # not every run of words stands in the code.
    printed = _runs(re.sub(r"[\"']\s+f?[\"']", "", code))
    for sentence in told:
        own = set().union(*map(_runs, sentence.split("…")))
        assert len(own & printed) >= len(own) / 2, sentence
