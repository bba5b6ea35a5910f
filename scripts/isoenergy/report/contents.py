"""The order of the report: that of the paper, then what the paper does not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from isoenergy.errors import InputError
from isoenergy.schema import load_schema, read_registry

BEYOND = "Beyond the paper"


@dataclass(frozen=True)
class Section:
    """A heading of the report and the targets under it.

    Attributes
    ----------
    anchor : str
        Its id on the page.
    heading : str
    targets : tuple of str
    """

    anchor: str
    heading: str
    targets: tuple[str, ...]


def arrange(
    targets: Sequence[str], contents: str | Path, contents_schema: str | Path
) -> list[Section]:
    """Tables and figures of a run under the paper's sections, in the paper's order.

    Parameters
    ----------
    targets : sequence of str
    contents, contents_schema : path
        The registry ``config/contents.tsv`` and its schema.

    Returns
    -------
    list of Section
        Sections that hold none of the targets are left out; targets that the paper does not have
        come last, in the order given.

    Raises
    ------
    InputError
        If a target stands in two places.
    """
    rows = read_registry(contents, load_schema(contents_schema))
    placed: set[str] = set()
    sections = []
    for section, row in rows.items():
        items = row["items"].split()
        for item in items:
            if item in placed or items.count(item) > 1:
                raise InputError(f"{contents}: {item} stands in two places; each stands in one")
        placed.update(items)
        shown = tuple(item for item in items if item in targets)
        sections.append(Section(_anchor(section), _heading(section, row), shown))
    beyond = tuple(target for target in targets if target not in placed)
    sections.append(Section("beyond", BEYOND, beyond))
    return [section for section in sections if section.targets]


def _heading(section: str, row: Mapping[str, str]) -> str:
    kind = "Section" if section[0].isdigit() else "Appendix"
    return f"{kind} {section}: {row['title']}"


def _anchor(section: str) -> str:
    return f"section-{section.replace('.', '-')}"
