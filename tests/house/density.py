"""Syntax nodes of functions, whole and by line: what makes code hard to read though it is short."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

NODES, NODES_PER_LINE, LINES_COUNTED = 300, 25, 4
"""Ceilings of nodes in a function and on its mean line; the latter from so many lines on."""


class Density(NamedTuple):
    """Size of one function's body, its docstring apart."""

    place: str
    nodes: int
    lines: int
    is_kernel: bool

    @property
    def is_too_dense(self) -> bool:
        """True if the body exceeds a ceiling; of kernels, long by design, only the lines count."""
        long = self.nodes > NODES and not self.is_kernel
        return long or (self.lines >= LINES_COUNTED and self.nodes > NODES_PER_LINE * self.lines)


def densities(path: Path) -> Iterator[Density]:
    """Measure every function of a file, those inside others included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if not body:
                continue
            nodes = sum(1 for statement in body for _ in ast.walk(statement))
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1
            is_kernel = any(
                isinstance(each, ast.Name) and each.id == "kernel" for each in node.decorator_list
            )
            yield Density(f"{path}:{node.lineno} {node.name}", nodes, lines, is_kernel)


if __name__ == "__main__":
    found = [
        each
        for place in sys.argv[1:]
        for path in ([Path(place)] if Path(place).is_file() else sorted(Path(place).rglob("*.py")))
        for each in densities(path)
        if each.is_too_dense
    ]
    for each in found:
        print(f"{each.place}: {each.nodes} nodes in {each.lines} lines")
    print(len(found), "functions are too dense")
