"""The shape of the code: who imports whom, how long things are, what sim may not do."""

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("sim", "agents", "experiments")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES + TESTS}

ENTRIES = {
    *(".ci", ".gitignore", "CITATION.cff", "LICENSE", "README.md", "constraints.txt", "pyproject.toml"),
    *("agents", "configs", "experiments", "sim", "tests"),
}
"""What the top level of the repository may hold."""

MODULE, FUNCTION, ARGUMENTS = 400, 60, 5
"""Ceilings, in lines and in positional or keyword arguments without self."""

OUTSIDE = {"print", "open", "input"}
CLOCKS = {"time", "matplotlib", "seaborn", "rich", "typer", "subprocess", "argparse"}
READERS = {"sim/reading/documents.py", "sim/margin/learned/trained.py", "sim/numerics/kernel_cache.py"}
"""The only parts of sim that read files: configurations, trained models that they name, and sources to hash."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> Iterator[str]:
    """Full names of what a file imports, wherever in it."""
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(TREES[path]):
        if isinstance(node, Function):
            yield node


def is_kernel(function: Function) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "kernel" for each in function.decorator_list)


def lines(node: Function) -> int:
    """Lines of the body, docstring apart."""
    body = node.body[1:] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1


def arguments(function: Function) -> list[str]:
    every = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return [each.arg for each in every if each.arg not in ("self", "cls")]


def is_list(function: Function) -> bool:
    """A command's arguments are its options, and those of a record's ``of`` its columns."""
    decorators = [ast.unparse(each) for each in function.decorator_list]
    return any("app.command" in each for each in decorators) or ("classmethod" in decorators and function.name == "of")


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("sim", ("agents", "experiments", "configs", "tests")),
        ("agents", ("experiments", "configs", "tests")),
        ("experiments", ("tests",)),
        ("sim/margin", ("sim.liquidation", "sim.waterfall", "sim.market")),
        ("sim/liquidation", ("sim.margin", "sim.waterfall", "sim.market")),
        ("sim/waterfall", ("sim.margin", "sim.liquidation", "sim.market")),
    ],
)
def test_imports_go_one_way(folder: str, forbidden: tuple[str, ...]) -> None:
    wrong = [
        f"{name_of(path)} imports {name}"
        for path in FILES
        if (ROOT / folder) in path.parents
        for name in imported(path)
        if any(within(name, package) for package in forbidden)
    ]
    assert wrong == []


def test_agents_see_only_what_sim_makes_public() -> None:
    """Never the market, the ledger or a venue: agents know what they are handed."""
    closed = (
        "sim.market",
        "sim.ledger",
        "sim.venue",
        "sim.step.liquidation",
        "sim.step.loss_waterfall",
        "sim.step.orders",
        "sim.recording.recorder",
    )
    wrong = [
        f"{name_of(path)} imports {name}"
        for path in FILES
        if (ROOT / "agents") in path.parents
        for name in imported(path)
        if any(within(name, module) for module in closed)
    ]
    assert wrong == []


def test_sim_does_not_print_plot_time_or_read_files() -> None:
    wrong = []
    for path in FILES:
        if (ROOT / "sim") not in path.parents:
            continue
        wrong += [f"{name_of(path)} imports {name}" for name in imported(path) if name.split(".")[0] in CLOCKS]
        for node in ast.walk(TREES[path]):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in OUTSIDE:
                wrong.append(f"{name_of(path)}:{node.lineno} calls {node.func.id}")
            reads = isinstance(node, ast.Attribute) and node.attr in (
                "read_text",
                "read_bytes",
                "read_csv",
                "read_parquet",
            )
            if reads and name_of(path) not in READERS:
                wrong.append(f"{name_of(path)}:{node.lineno} reads a file")
    assert wrong == []


def test_kernels_import_no_jitted_helper() -> None:
    """A kernel and its helpers stand in one file; constants may come from others (see tests/test_kernel_cache.py)."""
    kernels = {
        f"{name_of(path)[:-3].replace('/', '.')}.{f.name}" for path in FILES for f in functions(path) if is_kernel(f)
    }
    wrong = []
    for path in FILES:
        own = [function for function in functions(path) if is_kernel(function)]
        foreign = {name.split(".")[-1] for name in imported(path) if name in kernels}
        for function in own:
            used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
            wrong += [f"{name_of(path)}: {function.name} uses {name}" for name in sorted(used & foreign)]
    assert wrong == []


@pytest.mark.parametrize("word", ["hasattr", "TODO", "FIXME", "NotImplementedError", "pytest.skip", "fastmath=True"])
def test_words_that_have_no_place_here(word: str) -> None:
    files = [path for path in FILES + TESTS if path != Path(__file__)]
    assert [name_of(path) for path in files if word in path.read_text(encoding="utf-8")] == []


def test_top_level_is_fixed() -> None:
    """Only what git knows counts: builds, caches and results may lie about."""
    ignored = {line.strip("/\n") for line in (ROOT / ".gitignore").read_text().splitlines()}
    here = {path.name for path in ROOT.iterdir()} - ignored - {".git"}
    assert {name for name in here if not name.endswith(".egg-info")} <= ENTRIES


def test_budgets(capsys: pytest.CaptureFixture[str]) -> None:
    modules = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    all_functions = {f"{name_of(p)}:{f.lineno} {f.name}": f for p in FILES for f in functions(p)}
    bodies = {name: lines(function) for name, function in all_functions.items()}
    free = {name: f for name, f in all_functions.items() if not is_kernel(f) and not is_list(f)}
    wide = {name: len(arguments(function)) for name, function in free.items()}
    code, test = sum(modules.values()), sum(len(path.read_text().splitlines()) for path in TESTS)
    with capsys.disabled():
        sys.stdout.write(
            f"\nbudgets: {len(modules)} modules, median {statistics.median(modules.values()):g} lines "
            f"(aim 150), longest {max(modules.values())}; {len(bodies)} functions, median body "
            f"{statistics.median(bodies.values()):g} lines (aim 8), longest {max(bodies.values())}; "
            f"{test / code:.2f} test lines per line\n"
        )
    long = [f"{name}: {n} lines" for name, n in modules.items() if n > MODULE]
    long += [f"{name}: {n} lines" for name, n in bodies.items() if n > FUNCTION]
    long += [f"{name}: {n} arguments" for name, n in wide.items() if n > ARGUMENTS]
    assert long == []
