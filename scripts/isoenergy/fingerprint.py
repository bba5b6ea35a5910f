"""A fingerprint of the code a script runs, so that a changed metric re-runs only what uses it."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

from isoenergy.errors import InputError

PACKAGE = "isoenergy"
# Modules that cannot change a result: how work is told, and how this fingerprint is taken.
INERT = frozenset({"isoenergy.progress", "isoenergy.errors", "isoenergy.fingerprint"})


def fingerprint(
    script: str | Path, library: str | Path, chosen: Mapping[str, Collection[str]] | None = None
) -> str:
    """Hash a script and every module of the library that it imports, directly or not.

    Comments, docstrings and layout do not count.

    Parameters
    ----------
    script : path
    library : path
        Folder that holds the package ``isoenergy``.
    chosen : mapping of str to collection of str, optional
        Modules that only import others, and which others the script uses: these alone count.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    chosen = chosen or {}
    library = Path(library)
    seen: dict[str, str] = {}
    own, imports, _ = _read(Path(script))
    waiting = list(imports)
    while waiting:
        name = waiting.pop()
        path = _path(name, library)
        if name in seen or name in INERT or path is None:
            continue
        if name in chosen:
            waiting += [module for module in chosen[name] if module not in seen]
            continue
        seen[name], imports, _ = _read(path)
        waiting += imports
    digest = hashlib.sha256(own.encode())
    for name in sorted(seen):
        digest.update(f"\0{name}\0{seen[name]}".encode())
    return digest.hexdigest()[:16]


def registered(registry: str, module: str, library: str | Path) -> dict[str, str]:
    """Where the entries of a registry are, by name: in which of the modules that a module imports.

    Read from their text, without importing them.

    Parameters
    ----------
    registry : str
        Name of the variable whose ``register`` decorates the entries.
    module : str
        A module that imports all that register.
    library : path
        Folder that holds the package ``isoenergy``.
    """
    library = Path(library)
    _, imports, _ = _read(_existing(module, library))
    return {
        entry: name
        for name in imports
        for of, entry in _read(_existing(name, library))[2]
        if of == registry
    }


def _existing(name: str, library: Path) -> Path:
    path = _path(name, library)
    if path is None:
        raise InputError(f"{library} has no module {name}")
    return path


@cache
def _path(name: str, library: Path) -> Path | None:
    base = library.joinpath(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def _read(path: Path) -> tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Of a module: the hash of its syntax tree without docstrings, what it imports and registers.

    Imports are modules of the package; what it registers are pairs of registry and entry.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: list[str] = []
    entries: list[tuple[str, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            # "from package import module" imports the module too, if it is one.
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Call):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id=registry), attr="register"),
                    args=[ast.Constant(value=str(entry))],
                ):
                    entries.append((registry, entry))
        elif isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            body = node.body
            if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                node.body = body[1:]
    code = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    own = tuple(name for name in names if name.split(".")[0] == PACKAGE)
    return code, own, tuple(entries)
