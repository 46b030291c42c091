"""Plain English and code that is not dense: what `english.py` and `density.py` count is zero."""

from pathlib import Path

import pytest
from house.density import densities
from house.english import faults

ROOT = Path(__file__).parents[2]
PLACES = ("sim", "agents", "experiments", "configs")
PAGES = [ROOT / "README.md", *(p for each in PLACES for p in sorted((ROOT / each).rglob("*.md")))]
SOURCES = [
    path
    for package in ("sim", "agents", "experiments")
    for path in sorted((ROOT / package).rglob("*.py"))
]


@pytest.mark.parametrize("paths", [PAGES, SOURCES], ids=["pages", "sources"])
def test_no_word_or_opening_needs_a_second_reading(paths: list[Path]) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {fault}"
        for path in paths
        for line, fault in faults(path)
    ]
    assert found == []


def test_faults_are_found(tmp_path: Path) -> None:
    """The counter finds each kind of fault, and passes plain text over."""
    source = tmp_path / "riddle.py"
    source.write_text(
        '"""What it says."""\n\n\ndef f() -> str:\n    # told to nobody\n    return "zero or nil"\n'
    )
    found = sorted(fault for _, fault in faults(source))
    assert found == ["nil", "nobody", "opens with What", "says", "told"]
    page = tmp_path / "page.md"
    page.write_text("Margin is .47 where `nil` is code.\nIt is 0.47.\n")
    assert [fault for _, fault in faults(page)] == [".4"]


def test_no_function_is_too_dense() -> None:
    """At most 300 syntax nodes in a function, and 25 on its mean line."""
    dense = [
        f"{each.place}: {each.nodes} nodes in {each.lines} lines"
        for path in SOURCES
        for each in densities(path)
        if each.is_too_dense
    ]
    assert dense == []


def test_density_is_measured(tmp_path: Path) -> None:
    source = tmp_path / "dense.py"
    line = "    x = " + " + ".join(["a * b"] * 20) + "\n"
    source.write_text("def f(a, b):\n" + 4 * line + "    return x\n")
    (found,) = densities(source)
    assert found.is_too_dense
    source.write_text("def f(a, b):\n    c = a * b\n    d = c + 1\n    e = d - b\n    return e\n")
    (found,) = densities(source)
    assert not found.is_too_dense
