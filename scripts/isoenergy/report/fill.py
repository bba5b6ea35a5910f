"""Pages of HTML from templates, with everything that is filled in escaped."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape


def fill_page(template: str, **values: Any) -> str:
    """A page of this folder with its fields filled; text is escaped, an unknown field an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["subscripts"] = subscripts
    return environment.get_template(template).render(**values)


def subscripts(label: str) -> Markup:
    """Words with symbols such as ``p_acc`` as HTML with subscripts, everything else escaped."""
    return Markup(re.sub(r"\b(\w)_([a-z]+|[IT])\b", r"\1<sub>\2</sub>", str(escape(label))))
