"""Compiled kernels on disk: used only for the same sources, kept where no other user can write."""

import os
import pickle
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from numba.core.caching import FunctionCache

from sim.numerics import jit, kernel_cache, kernel_locks
from sim.numerics.kernel_cache import digest_sources, make_private_folder

ROOT = Path(__file__).parents[2]

SPOT_OF_KIND_ONE = """
import numpy as np
from sim.margin import leg_values
whole = np.array([1, 1])
kernel = leg_values._compute_lot_values
found = kernel(np.ones(2), whole, np.ones(2), np.array([0, 0]), np.array([0, 1]))
print(found[1].tolist())
print(sum(kernel.stats.cache_hits.values()), kernel._cache.cache_path)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package ``sim`` without any compiled file."""
    shutil.copytree(
        ROOT / "sim", tmp_path / "tree" / "sim", ignore=shutil.ignore_patterns("__pycache__")
    )
    return tmp_path / "tree"


def called(
    tree: Path, before: str = "", *, code: str = SPOT_OF_KIND_ONE, **settings: str
) -> list[str]:
    """Lines that the code above prints in a process of its own, with the sources of a tree."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")
    }
    done = subprocess.run(
        [sys.executable, "-c", before + code],
        env=kept | {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"} | settings,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_constant_changed_in_another_file_reaches_a_cached_kernel(tree: Path) -> None:
    kinds = "PERPETUAL, SPOT, FUTURE, OPTION = "
    assert called(tree)[0] == "[False, True]"
    values, told = called(tree)
    assert (values, told.split()[0]) == ("[False, True]", "1")  # the cache is used
    before = sorted(
        path.name
        for path in (tree / "sim" / "margin" / "__pycache__").glob(
            "leg_values._compute_lot_values-*nb[ic]"
        )
    )
    edit(tree / "sim" / "types.py", f"{kinds}0, 1, 2, 3", f"{kinds}1, 0, 2, 3")
    values, told = called(tree)
    assert (values, told.split()[0]) == ("[True, False]", "0")
    after = sorted(
        path.name
        for path in (tree / "sim" / "margin" / "__pycache__").glob(
            "leg_values._compute_lot_values-*nb[ic]"
        )
    )
    assert len(before) == len(after) == 2  # those of the old constant are gone
    assert not set(before) & set(after)
    edit(
        tree / "sim" / "market.py", "import warnings\n", "import warnings  # a remark\n"
    )  # no part of this kernel
    assert called(tree)[1].split()[0] == "1"


HELPER = """
from sim.numerics.jit import kernel

@kernel
def add(x):
    return x + 1
"""
USER = """
from sim.numerics.jit import kernel
from sim.numerics.helper_kernel import add

@kernel
def double(x):
    return 2 * add(x)
"""
CALL = """
from sim.numerics.user_kernel import double
print(double(1), sum(double.stats.cache_hits.values()))
"""


def test_a_kernel_changed_in_another_file_reaches_the_kernels_that_call_it(tree: Path) -> None:
    """Helpers of a kernel may stand in another file: the cache follows imports."""
    folder = tree / "sim" / "numerics"
    (folder / "helper_kernel.py").write_text(HELPER)
    (folder / "user_kernel.py").write_text(USER)
    assert [called(tree, code=CALL), called(tree, code=CALL)] == [["4 0"], ["4 1"]]
    edit(folder / "helper_kernel.py", "x + 1", "x + 2")
    assert [called(tree, code=CALL), called(tree, code=CALL)] == [["6 0"], ["6 1"]]


def test_a_read_only_installation_caches_in_a_private_folder(tree: Path, tmp_path: Path) -> None:
    read_only = "import os; os.access = lambda *_, **__: False"
    own = tmp_path / "caches"
    told = called(tree, read_only, XDG_CACHE_HOME=str(own))[1].split()
    assert told[0] == "0"
    assert Path(told[1]).parent == own / "deleverage"
    assert Path(told[1]).stat().st_mode & 0o777 == 0o700
    assert called(tree, read_only, XDG_CACHE_HOME=str(own))[1].split()[0] == "1"
    assert not list(tree.rglob("*.nbi"))


def test_a_forged_index_in_a_folder_that_others_can_write_is_not_opened(
    tree: Path, tmp_path: Path
) -> None:
    read_only = "import os; os.access = lambda *_, **__: False"
    mark = tmp_path / "forged"
    folder = Path(called(tree, read_only, XDG_CACHE_HOME=str(tmp_path))[1].split()[1])

    class Forged:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (mark,)

    for path in folder.glob("*.nbi"):
        path.write_bytes(pickle.dumps(Forged()))
    folder.chmod(0o777)
    without = SPOT_OF_KIND_ONE.replace(
        "kernel._cache.cache_path",
        "type(kernel._cache).__name__",
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{read_only}{without}"],
        env=os.environ
        | {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1", "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["[False, True]", "0 NullCache"]
    assert not mark.exists()


def test_what_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "base"
    make_private_folder(base / "a" / "b", base)
    assert (base / "a" / "b").stat().st_mode & 0o777 == 0o700
    make_private_folder(base / "a" / "b", base)

    (base / "link").symlink_to(base / "a" / "b")
    (base / "wide").mkdir(mode=0o755)
    (base / "open").mkdir()
    (base / "open").chmod(0o777)
    (base / "sticky").mkdir()
    (base / "sticky").chmod(0o1777)
    (base / "file").touch()
    make_private_folder(base / "sticky" / "mine", base)
    for wrong in ("link", "wide", "open", "open/mine", "file", "file/inner"):
        with pytest.raises(OSError, match=wrong.partition("/")[0]):
            make_private_folder(base / wrong, base)
    monkeypatch.setattr(os, "geteuid", lambda: base.stat().st_uid + 1)
    with pytest.raises(PermissionError):
        make_private_folder(base / "a" / "b", base)


def test_a_cache_that_cannot_be_read_or_written_costs_no_run(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called(tree)
    for path in (tree / "sim" / "margin" / "__pycache__").glob("leg_values.*.nbi"):
        path.write_bytes(path.read_bytes()[:-9])
    assert called(tree)[0] == "[False, True]"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FunctionCache, "save_overload", full)
    assert jit.kernel(_one_more)(1) == 2


def _one_more(x: int) -> int:
    return x + 1


def test_no_folder_means_no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(kernel_cache, "find_user_folder", lambda: tmp_path / "file")
    monkeypatch.setattr(kernel_cache.numba.config, "CACHE_DIR", "")
    (tmp_path / "file").touch()
    assert kernel_cache.find_kernel_cache(_one_more) is None
    assert jit.kernel(_one_more)(1) == 2


FORMS = (
    "import inner",
    "import os, inner as other  # both",
    "from inner import CONSTANT",
    "from inner import (\n    # a comment, with a comma\n    CONSTANT as C,\n)",
    "def later():\n    from inner import CONSTANT",
    "from inner import \\\n    CONSTANT",
    "import os; import inner",
    "try: from inner import CONSTANT\nexcept ImportError: CONSTANT = 0",
    "from middle import again",
    "import middle",
)


@pytest.mark.parametrize("form", FORMS)
def test_what_a_plugins_kernel_imports_is_part_of_its_key(form: str, tmp_path: Path) -> None:
    (tmp_path / "inner.py").write_text("CONSTANT = 1\n")
    (tmp_path / "apart.py").write_text("CONSTANT = 1\n")
    (tmp_path / "middle.py").write_text("from inner import CONSTANT as again\n")
    (tmp_path / "mine.py").write_text(f"import numpy as np\n{form}\n")
    before = fresh(tmp_path / "mine.py")
    (tmp_path / "apart.py").write_text("CONSTANT = 2\n")
    assert fresh(tmp_path / "mine.py") == before
    (tmp_path / "inner.py").write_text("CONSTANT = 2\n")
    assert fresh(tmp_path / "mine.py") != before


@pytest.mark.parametrize(
    "form",
    ["from . import inner", "from .inner import C", "from .deep.most import C", "import p.inner"],
)
def test_a_package_is_followed_by_relative_names_too(form: str, tmp_path: Path) -> None:
    (tmp_path / "p" / "deep").mkdir(parents=True)
    for name in ("__init__", "deep/__init__", "inner"):
        (tmp_path / "p" / f"{name}.py").write_text("C = 1\n")
    (tmp_path / "p" / "deep" / "most.py").write_text("from ..inner import C\n")
    (tmp_path / "p" / "mine.py").write_text(f"{form}\n")
    before = fresh(tmp_path / "p" / "mine.py")
    (tmp_path / "p" / "inner.py").write_text("C = 2\n")
    assert fresh(tmp_path / "p" / "mine.py") != before


def fresh(path: Path) -> str:
    """The digest as a new process would find it."""
    for cached in (
        digest_sources,
        kernel_cache._read_source,
        kernel_cache._content_hash,
        kernel_cache._find_imports,
    ):
        cached.cache_clear()
    kernel_cache._find_module_file.cache_clear()
    return digest_sources(str(path))


def test_libraries_are_not_followed() -> None:
    files = kernel_cache._find_imports(ROOT / "sim" / "types.py", ROOT)
    assert {path.name for path in files} >= {"instrument_values.py", "account_sums.py"}
    assert all(path.is_relative_to(ROOT) for path in files)


TOGETHER = """
import time
import numpy as np
from sim.margin import leg_values
kernel, whole = leg_values._compute_lot_values, np.array([1, 1])
time.sleep(max(0.0, {begin} - time.time()))
kernel(np.ones(2), whole, np.ones(2), np.array([0, 0]), np.array([0, 1]))
print(sum(kernel.stats.cache_misses.values()), sum(kernel.stats.cache_hits.values()))
"""


def test_processes_that_start_together_compile_a_kernel_once(tree: Path) -> None:
    called(tree, code="import sim.margin.leg_values")
    code = TOGETHER.format(begin=time.time() + 6)
    with ThreadPoolExecutor(3) as pool:
        printed = list(pool.map(lambda _: called(tree, code=code), range(3)))
    assert sorted(printed) == [["0 1"], ["0 1"], ["1 0"]]


def test_a_process_that_ends_leaves_no_lock(tree: Path) -> None:
    dying = """
import os
from sim.numerics import kernel_locks
from sim.margin import leg_values
print(kernel_locks.try_lock(leg_values._compute_lot_values._cache._cache_file._index_path))
os.sys.stdout.flush()
os._exit(0)
"""
    assert called(tree, code=dying) == ["True"]
    assert called(tree, code=dying) == ["True"]


def test_the_lock_of_a_kernel_that_cannot_be_compiled_is_released(tmp_path: Path) -> None:
    """Another process takes it at once, instead of waiting for the first to end."""
    index = str(tmp_path / "kernel.nbi")
    taking = f"""
import os
from sim.numerics import kernel_locks
os.sys.stdout.write(str(kernel_locks.try_lock({index!r})))
"""
    assert kernel_locks.try_lock(index)
    assert called(ROOT, code=taking) == ["False"]
    kernel_locks.release_all_locks()
    assert called(ROOT, code=taking) == ["True"]


SHARED = """
from sim.compiled.kernels.accounts import skip_rounds
from sim.numerics import bound_kernels
from sim.numerics.bound_kernels import call_in_turn
compile_entry = bound_kernels._compile_entry
def tell(kernel, layout):
    print(kernel.__name__, flush=True)
    return compile_entry(kernel, layout)
bound_kernels._compile_entry = tell
index = bound_kernels._open_cache(bound_kernels._name_entry(skip_rounds.py_func, "i1"))
print(index._cache_file._index_path, flush=True)
input()
bound_kernels.compile_entries([(skip_rounds, "i1"), (call_in_turn, "i1 i1")])
"""


def test_a_process_compiles_other_kernels_before_it_waits(tree: Path) -> None:
    """The entry that another process has claimed is compiled, or loaded, last."""
    settings = {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", SHARED],
        env=os.environ | settings,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        index = process.stdout.readline().strip()
        Path(index).parent.mkdir(exist_ok=True)
        assert kernel_locks.try_lock(index)
        try:
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "call_in_turn\n"
        finally:
            kernel_locks.release_lock(index)
        assert process.stdout.readline() == "skip_rounds\n"
    assert process.returncode == 0
