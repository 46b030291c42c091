"""Cache of compiled kernels on disk, addressed by all sources on which a kernel can depend."""

import functools
import hashlib
import os
import pickle
import re
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, InTreeCacheLocator

from sim.numerics.kernel_locks import release_lock, try_lock, wait_for_lock

PROJECT_ROOT = Path(__file__).resolve().parents[2]
PROJECT_PACKAGES = ("sim", "agents", "experiments", "configs")
"""Packages whose imports are followed from any kernel. Of other packages only the kernel's own is.
"""

IMPORT_PATTERN = re.compile(
    rb"(?:^|[;:])[ \t]*(?:from[ \t]+(?P<base>[\w.]+)[ \t]+import[ \t]*(?P<names>\([^)]*\)|[^;\n]*)"
    rb"|import[ \t]+(?P<whole>[^;\n]*))",
    re.MULTILINE,
)
"""Import statements, also over several lines in parentheses. Text that only looks like one is
harmless.
"""

CACHE_READ_ERRORS = (
    OSError,
    EOFError,
    pickle.UnpicklingError,
    AttributeError,
    ImportError,
    IndexError,
    ValueError,
)
"""Errors that reading a damaged cache file raises."""


class _SourceStampMixin:
    """Mixin of numba's locators: the name of a cache file contains the digest of its sources."""

    _py_file: str
    _lineno: int

    def get_source_stamp(self) -> str:
        """Return the digest of the kernel's file and of all project files that it imports."""
        return digest_sources(self._py_file)

    def get_disambiguator(self) -> str:
        """Return a part of the file name; files of other sources are never read."""
        return f"{self._lineno}-{digest_sources(self._py_file)[:16]}"


class BesideSourceLocator(_SourceStampMixin, InTreeCacheLocator):  # type: ignore[misc]  # numba has no types
    """Locator of ``__pycache__`` beside the kernel's file.

    It is not used if NUMBA_CACHE_DIR is set or the installation is read-only.
    """

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> Any:
        """Return a locator, or none if this folder must not be used."""
        usable = not numba.config.CACHE_DIR and os.access(Path(py_file).parent, os.W_OK)
        return super().from_function(py_func, py_file) if usable else None


class UserFolderLocator(_SourceStampMixin, InTreeCacheLocator):  # type: ignore[misc]
    """Locator of a folder below NUMBA_CACHE_DIR if set, else in the user's cache folder."""

    def __init__(self, py_func: Callable[..., Any], py_file: str) -> None:
        super().__init__(py_func, py_file)
        self._base = (
            Path(numba.config.CACHE_DIR).absolute()
            if numba.config.CACHE_DIR
            else find_user_folder()
        )
        self._cache_path = str(self._base / "deleverage" / self.get_suitable_cache_subpath(py_file))

    def ensure_cache_path(self) -> None:
        """Create the folder, and refuse one that another user could have written to.

        Raises:
            OSError: it cannot be created, or is not private.
        """
        make_private_folder(Path(self._cache_path), self._base)


class _KernelCacheImpl(CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = (BesideSourceLocator, UserFolderLocator)


class KernelCache(FunctionCache):  # type: ignore[misc]
    """Compiled forms of one kernel on disk.

    A cache that cannot be read or written costs time, but stops no run. Of processes that need a
    kernel at the same time, one compiles it, and the others wait for its file.
    """

    _impl_class = _KernelCacheImpl

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled form of a signature; or none, for the caller to compile it."""
        found = self._read_overload(sig, target_context)
        if found is None:
            index = self._cache_file._index_path
            wait_for_lock(index)
            found = self._read_overload(sig, target_context)  # written while this process waited
            if found is not None:
                release_lock(index)
        return found

    def claim(self) -> bool:
        """Reserve the kernel for this process; return False if another process compiles it."""
        return try_lock(self._cache_file._index_path)

    def release(self) -> None:
        """Give up the reservation."""
        release_lock(self._cache_file._index_path)

    def _read_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except CACHE_READ_ERRORS:
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save a compiled form, and remove those of older sources."""
        try:
            super().save_overload(sig, data)
            self._prune_old_files()
        except CACHE_READ_ERRORS:
            return
        finally:
            release_lock(self._cache_file._index_path)

    def _prune_old_files(self) -> None:
        """Remove this kernel's files of other sources.

        No process of the present sources reads them.
        """
        name = self._impl.filename_base
        kernel, _, python = name.rpartition(".")
        stem = kernel.rsplit("-", 2)[0]
        for path in Path(self.cache_path).glob(f"{stem}-*.{python}.*nb[ic]"):
            if not path.name.startswith(name) and re.fullmatch(
                r"\d+(-[0-9a-f]{16})?", _source_part(path, stem, python)
            ):
                path.unlink(missing_ok=True)


def _source_part(path: Path, stem: str, python: str) -> str:
    """Return the part of a cache file's name between the kernel's name and the Python version."""
    return path.name.removeprefix(f"{stem}-").partition(f".{python}.")[0]


def find_kernel_cache(function: Callable[..., Any]) -> KernelCache | None:
    """Return the cache of a kernel; none if no folder for it is both writable and safe."""
    try:
        return KernelCache(function)
    except (RuntimeError, OSError):  # numba found no locator, or a source file is missing
        return None


def find_user_folder() -> Path:
    """Return the folder of this user's caches; it need not exist."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or "~/AppData/Local").expanduser()
    named = os.environ.get("XDG_CACHE_HOME", "")
    return Path(named if named.startswith("/") else "~/.cache").expanduser()


def make_private_folder(folder: Path, base: Path) -> None:
    """Create a folder that only this user can read or write.

    Args:
        folder: absolute path.
        base: folder from which on every folder must belong to this user or to the system.

    Raises:
        OSError: it cannot be created, is a link, has another owner, or other users may change it or
            a folder above it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if sys.platform == "win32":
        return
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a private folder of this user")
    for above in folder.parents:
        state = os.stat(above)
        open_to_all = state.st_mode & stat.S_IWOTH and not state.st_mode & stat.S_ISVTX
        foreign = above.is_relative_to(base) and state.st_uid not in (0, os.geteuid())
        if open_to_all or foreign:
            raise PermissionError(f"{above} can be changed by another user")


@functools.cache
def digest_sources(path: str) -> str:
    """Return the SHA-256 of a file and of all project files that it imports, directly or not.

    Args:
        path: path of a Python file.
    """
    start = Path(path).resolve()
    root = _package_root(start)
    waiting, seen = [start], {start}
    while waiting:
        for imported in _find_imports(waiting.pop(), root):
            if imported not in seen:
                seen.add(imported)
                waiting.append(imported)
    total = hashlib.sha256()
    for source in sorted(seen):
        total.update(f"{os.path.relpath(source, root)}\0{_content_hash(source)}\n".encode())
    return total.hexdigest()


def _package_root(path: Path) -> Path:
    """Return the folder that holds the top-level package or module of a file."""
    folder = path.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


@functools.cache
def _read_source(path: Path) -> bytes:
    return path.read_bytes()


@functools.cache
def _content_hash(path: Path) -> str:
    return hashlib.sha256(_read_source(path)).hexdigest()


@functools.cache
def _find_imports(path: Path, root: Path) -> tuple[Path, ...]:
    """Return the project files behind the import statements of a file."""
    source = re.sub(rb"\\\r?\n", b" ", _read_source(path))
    files = [
        file
        for match in IMPORT_PATTERN.finditer(source)
        for file in _iterate_imported_files(match, path, root)
    ]
    return tuple(dict.fromkeys(files))


def _iterate_imported_files(match: "re.Match[bytes]", path: Path, root: Path) -> Iterator[Path]:
    """Yield the files behind an import statement.

    ``from a import b`` imports ``a.b`` if that is a module, else ``a``.
    """
    own = path.relative_to(root).parts if path.is_relative_to(root) else (path.name,)
    if match["whole"] is not None:
        files = [_find_module_file(name, own[0], root) for name in _imported_names(match["whole"])]
    else:
        base = match["base"].decode(errors="replace")
        dots = len(base) - len(base.lstrip("."))
        if dots:
            base = ".".join([*own[:-dots], *filter(None, [base[dots:]])])
        inner = [
            _find_module_file(f"{base}.{name}".lstrip("."), own[0], root)
            for name in _imported_names(match["names"])
        ]
        files = inner if all(inner) else [*inner, _find_module_file(base, own[0], root)]
    yield from (file for file in files if file is not None)


def _imported_names(text: bytes) -> list[str]:
    """Return the names of ``(a as b, c)`` without comments."""
    parts = re.sub(r"#[^\n]*", "", text.decode(errors="replace")).strip("() \t\r\n\\").split(",")
    return [part.split()[0] for part in parts if part.split()]


@functools.cache
def _find_module_file(name: str, own: str, root: Path) -> Path | None:
    """Return the file of a module; none if it belongs to another project.

    Args:
        name: full name of the module.
        own: first part of the importing file's path below ``root``.
        root: folder that holds the top-level package or module of the kernel.
    """
    top = name.partition(".")[0]
    foreign = top not in PROJECT_PACKAGES and top != own.removesuffix(".py")
    if not name or (foreign and root.name in ("site-packages", "dist-packages")):
        return None
    inner = (PROJECT_ROOT if top in PROJECT_PACKAGES else root).joinpath(*name.split("."))
    candidates = (inner.with_name(f"{inner.name}.py"), inner / "__init__.py")
    return next((each.resolve() for each in candidates if each.is_file()), None)
