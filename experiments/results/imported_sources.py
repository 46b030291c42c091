"""Source files of a module and of its imports, found by reading instead of running them."""

import ast
import importlib.machinery
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Folder of the packages of the project."""

PROJECT_PACKAGES = ("sim", "agents", "experiments", "configs")
"""Packages of the project, which have their own digests."""

INSTALL_FOLDERS = tuple(
    Path(sysconfig.get_path(name)).resolve()
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
"""Folders of Python and installed packages, whose versions identify their content."""


def find_module_files(module: str) -> dict[str, Path]:
    """Return the files of a module that can be imported, and of its imports, by name.

    Args:
        module: name of the module. Of a package, all files are returned.
    """
    return _gather_files({}, [module.partition(".")[0]], start=True)


def find_imported_files(path: Path) -> dict[str, Path]:
    """Return one file and the files of its imports outside installed packages, by name."""
    return _gather_files({path.name: path}, _list_imported_modules(path), start=False)


def find_project_files(modules: Iterable[str]) -> set[Path]:
    """Return the files of modules of ``experiments`` and of their imports from ``experiments``."""
    waiting, found = list(modules), set[Path]()
    while waiting:
        path = _find_project_file(waiting.pop())
        if path is not None and path not in found:
            found.add(path)
            waiting += [
                name for name in _list_imported_names(path) if name.startswith("experiments.")
            ]
    return found


def _find_project_file(name: str) -> Path | None:
    place = ROOT.joinpath(*name.split("."))
    return next(
        (path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None
    )


def _gather_files(found: dict[str, Path], names: Iterable[str], start: bool) -> dict[str, Path]:
    """Return files of top-level modules and, recursively, of their imports.

    Args:
        found: known files.
        names: top-level modules.
        start: True to include installed modules among ``names``.
    """
    waiting, seen = [(name, start) for name in names], set[str]()
    while waiting:
        name, wanted = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for label, path in _list_module_files(name, wanted).items():
            found[label] = path
            if path.suffix == ".py":
                waiting += [(other, False) for other in _list_imported_modules(path)]
    return dict(sorted(found.items()))


def _list_module_files(name: str, wanted: bool) -> dict[str, Path]:
    """Return the files of one top-level module.

    Built-in modules and those of the project have none, and installed ones only if ``wanted``.
    """
    spec = _find_spec(name)
    if spec is None:
        return {}
    folders = [Path(each).resolve() for each in spec.submodule_search_locations or ()]
    alone = (
        [Path(spec.origin).resolve()] if spec.has_location and spec.origin and not folders else []
    )
    if any(_is_own(path) or (_is_installed(path) and not wanted) for path in [*folders, *alone]):
        return {}
    inner = {
        f"{name}/{path.relative_to(folder).as_posix()}": path
        for folder in folders
        for path in _walk_files(folder)
    }
    return {path.name: path for path in alone} | inner


def _find_spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """Return the import specification of a top-level module without running the module."""
    if name in sys.builtin_module_names or name in sys.stdlib_module_names:
        return None
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def _is_own(path: Path) -> bool:
    return any(path.is_relative_to(ROOT / name) for name in PROJECT_PACKAGES)


def _is_installed(path: Path) -> bool:
    return any(path.is_relative_to(place) for place in INSTALL_FOLDERS)


def is_user_file(path: Path) -> bool:
    """Return True for a file that is neither of an installed package nor of the project."""
    place = path.resolve()
    return place.is_file() and not _is_own(place) and not _is_installed(place)


def _walk_files(folder: Path) -> Iterator[Path]:
    paths = (
        path
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in path.parts and path.suffix != ".pyc"
    )
    return (path for path in paths if path.is_file())


def _list_imported_modules(path: Path) -> set[str]:
    """Return the top-level modules that a file imports anywhere; none if it is not Python."""
    return {name.partition(".")[0] for name in _list_imported_names(path)}


def _list_imported_names(path: Path) -> set[str]:
    """Return the full names that a file imports.

    A ``from`` import yields the module and each imported name in it.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names
