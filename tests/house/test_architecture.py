"""The shape of the code: who imports whom, how long things are, what sim may not do."""

import ast
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("sim", "agents", "experiments")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))

ENTRIES = {
    *(
        ".ci",
        ".gitignore",
        "CITATION.cff",
        "LICENSE",
        "README.md",
        "constraints.txt",
        "pyproject.toml",
    ),
    *("agents", "configs", "experiments", "sim", "tests"),
}
"""What the top level of the repository may hold."""

MODULE, FUNCTION, ARGUMENTS = 400, 60, 5
"""Ceilings, in lines and in positional or keyword arguments without self."""

FOLDER = 20
"""Most modules of one folder, ``__init__`` apart."""

OUTSIDE = {"print", "open", "input"}
CLOCKS = {"time", "matplotlib", "seaborn", "rich", "typer", "subprocess", "argparse"}
READERS = {
    "sim/reading/documents.py",
    "sim/margin/learned/trained.py",
    "sim/numerics/kernel_cache.py",
}
"""Modules of sim that read files: configurations, trained models in them, sources to hash."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree_of(path: Path) -> ast.Module:
    """Syntax tree of a file; parsed on first use, because collection imports this module too."""
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> Iterator[str]:
    """Full names of what a file imports, wherever in it."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, Function):
            yield node


def is_kernel(function: Function) -> bool:
    return any(
        isinstance(each, ast.Name) and each.id == "kernel" for each in function.decorator_list
    )


def lines(node: Function) -> int:
    """Lines of the body, docstring apart."""
    body = (
        node.body[1:] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body
    )
    return (body[-1].end_lineno or 0) - body[0].lineno + 1


def arguments(function: Function) -> list[str]:
    every = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return [each.arg for each in every if each.arg not in ("self", "cls")]


def is_list(function: Function) -> bool:
    """Return whether arguments are the options of a command, or the columns of a record."""
    decorators = [ast.unparse(each) for each in function.decorator_list]
    return any("app.command" in each for each in decorators) or (
        "classmethod" in decorators and function.name == "from_columns"
    )


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
        wrong += [
            f"{name_of(path)} imports {name}"
            for name in imported(path)
            if name.split(".")[0] in CLOCKS
        ]
        for node in ast.walk(tree_of(path)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in OUTSIDE
            ):
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


def at_import(body: Iterable[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports that run with the module: outside functions, and not for the type checker alone."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from at_import(node.orelse)
        elif not isinstance(node, Function):
            blocks = (
                part
                for part in ast.iter_child_nodes(node)
                if isinstance(part, ast.ExceptHandler | ast.match_case)
            )
            yield from at_import(
                each for each in ast.iter_child_nodes(node) if isinstance(each, ast.stmt)
            )
            yield from at_import(each for block in blocks for each in block.body)


def import_graph(trees: dict[str, ast.Module]) -> "nx.DiGraph[str]":
    """Return the graph of imports among modules by full name; a package is its ``__init__``.

    The import of a module also runs the packages on the way to it, except those that hold the
    importer: these are running already, and count only if an import names them directly.
    """
    graph: nx.DiGraph[str] = nx.DiGraph()
    for importer, tree in trees.items():
        for node in at_import(tree.body):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
                names = [name if name in trees else str(node.module) for name in modules]
            for name in names:
                parts = name.split(".")
                on_the_way = {".".join(parts[:depth]) for depth in range(1, len(parts))}
                outside = {package for package in on_the_way if not within(importer, package)}
                graph.add_edges_from((importer, each) for each in outside | {name} if each in trees)
    return graph


def circles(trees: dict[str, ast.Module]) -> list[list[str]]:
    """Modules that need each other while they are imported, a list for each circle."""
    graph = import_graph(trees)
    found = [sorted(each) for each in nx.strongly_connected_components(graph) if len(each) > 1]
    return sorted(found + [[name] for name in nx.nodes_with_selfloops(graph)])


def test_no_module_imports_itself_by_way_of_others() -> None:
    names = {
        path: name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in FILES
    }
    assert circles({name: tree_of(path) for path, name in names.items()}) == []


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"p": "", "p.a": "from p.b import x", "p.b": "import p.a"}, [["p.a", "p.b"]]),
        (
            {"p": "", "p.a": "from p import b", "p.b": "from p import c", "p.c": "from p import a"},
            [["p.a", "p.b", "p.c"]],
        ),
        (
            {"p": "from p.a import X", "p.a": "from p import Y"},
            [["p", "p.a"]],
        ),  # Y is not there yet
        ({"p": "from p.a import X", "p.a": "from p.b import Y", "p.b": ""}, []),
        (
            {
                "p": "from p.a import X",
                "p.a": "from q.b import Y",
                "q": "from p.c import Z",
                "q.b": "",
                "p.c": "",
            },
            [["p", "p.a", "q"]],
        ),
        ({"p.a": "def f():\n    import p.b", "p.b": "import p.a"}, []),
        (
            {
                "p.a": "class C:\n    import p.b",
                "p.b": "try:\n    pass\nexcept OSError:\n    import p.a",
            },
            [["p.a", "p.b"]],
        ),
        ({"p.a": "if TYPE_CHECKING:\n    import p.b", "p.b": "import p.a"}, []),
        (
            {"p.a": "if TYPE_CHECKING:\n    pass\nelse:\n    import p.b", "p.b": "import p.a"},
            [["p.a", "p.b"]],
        ),
        ({"p.a": "import p.a"}, [["p.a"]]),
    ],
)
def test_circles_are_found(sources: dict[str, str], expected: list[list[str]]) -> None:
    assert circles({name: ast.parse(text) for name, text in sources.items()}) == expected


def test_folders_are_small_enough_to_look_through() -> None:
    modules = Counter(path.parent for path in FILES + TESTS if path.name != "__init__.py")
    assert {name_of(folder): count for folder, count in modules.items() if count > FOLDER} == {}


@pytest.mark.parametrize(
    "word", ["hasattr", "TODO", "FIXME", "NotImplementedError", "pytest.skip", "fastmath=True"]
)
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
            f"\nbudgets: {len(modules)} modules, median {statistics.median(modules.values()):g} "
            "lines "
            f"(aim 150), longest {max(modules.values())}; {len(bodies)} functions, median body "
            f"{statistics.median(bodies.values()):g} lines (aim 8), longest "
            f"{max(bodies.values())}; "
            f"{test / code:.2f} test lines per line\n"
        )
    long = [f"{name}: {n} lines" for name, n in modules.items() if n > MODULE]
    long += [f"{name}: {n} lines" for name, n in bodies.items() if n > FUNCTION]
    long += [f"{name}: {n} arguments" for name, n in wide.items() if n > ARGUMENTS]
    assert long == []
