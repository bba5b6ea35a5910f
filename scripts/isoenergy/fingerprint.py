"""A fingerprint of the code a script runs, so that a changed metric re-runs only what uses it."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = "isoenergy"
# Modules that cannot change a result: how work is told, and how this fingerprint is taken.
INERT = frozenset({"isoenergy.progress", "isoenergy.errors", "isoenergy.fingerprint"})


def fingerprint(script: str | Path, library: str | Path) -> str:
    """Hash a script and every module of the library that it imports, directly or not.

    Comments, docstrings and layout do not count.

    Parameters
    ----------
    script : path
    library : path
        Folder that holds the package ``isoenergy``.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    library = Path(library)
    seen: dict[str, str] = {}
    waiting = list(_imports(Path(script), library))
    while waiting:
        name = waiting.pop()
        path = _path(name, library)
        if name in seen or name in INERT or path is None:
            continue
        seen[name] = _code(path)
        waiting += _imports(path, library)
    digest = hashlib.sha256(_code(Path(script)).encode())
    for name in sorted(seen):
        digest.update(f"\0{name}\0{seen[name]}".encode())
    return digest.hexdigest()[:16]


def _path(name: str, library: Path) -> Path | None:
    base = library.joinpath(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _code(path: Path) -> str:
    """The syntax tree without docstrings, as text."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            body = node.body
            if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                node.body = body[1:]
    return ast.dump(tree)


@cache
def _imports(path: Path, library: Path) -> tuple[str, ...]:
    """Modules of the package that a file imports, wherever in it the import stands."""
    names: list[str] = []
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            # "from package import module" imports the module too, if it is one.
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(name for name in names if name.split(".")[0] == PACKAGE)
