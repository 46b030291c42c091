"""Words and openings that plain English avoids, in docstrings, comments, messages and pages."""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

WORDS = (
    r"`nil|whoever|whomever|nobody|somebody|everybody|anybody|people|person`",
    r"`told|tells|tell|hears|heard|mourn\w*|asked|asks|said|says`",
)
"""Riddles, personified code, and words that the field does not use (`design/english.md`).

They stand in backquotes, as quoted words do, so that this module does not report itself.
"""

BANNED = re.compile(rf"\b({'|'.join(each.strip('`') for each in WORDS)})\b", re.IGNORECASE)

OPENING = re.compile(r"(what|who|whom|whose|whether|of|which|how|where|when|why)\b", re.IGNORECASE)
"""First words of a docstring that is a fragment or a question."""

DECIMAL = re.compile(r"(?<![\w.\])/-])\.\d")
"""A number without its leading zero."""

Found = tuple[int, str]


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Docstrings of a module, with the line on which each begins."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text:
                yield node.body[0].lineno, text


def strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """All string constants of a module, docstrings and messages alike."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def comments(text: str) -> Iterator[tuple[int, str]]:
    """Comments of a module."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def faults(path: Path) -> Iterator[Found]:
    """Line and description of each fault in a Python file or a page."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        is_code = False
        for number, line in enumerate(text.splitlines(), start=1):
            is_code ^= line.startswith("```")
            if is_code:
                continue
            prose = re.sub(r"`[^`]*`", "", line)
            yield from ((number, word.group()) for word in BANNED.finditer(prose))
            yield from ((number, word.group()) for word in DECIMAL.finditer(prose))
        return
    tree = ast.parse(text)
    for number, words in [*strings(tree), *comments(text)]:
        prose = re.sub(r"`[^`]*`", "", words)
        yield from ((number, word.group()) for word in BANNED.finditer(prose))
    for number, words in docstrings(tree):
        if OPENING.match(words.strip()):
            yield number, "opens with " + words.split()[0]
        yield from (
            (number, word.group()) for word in DECIMAL.finditer(re.sub(r"`[^`]*`", "", words))
        )


if __name__ == "__main__":
    total = 0
    for each in sys.argv[1:] or ["sim", "agents", "experiments", "tests", "README.md", "configs"]:
        place = Path(each)
        paths = [place] if place.is_file() else sorted([*place.rglob("*.py"), *place.rglob("*.md")])
        for path in paths:
            for number, found in faults(path):
                print(f"{path}:{number}: {found}")
                total += 1
    print(total, "faults")
    sys.exit(total > 0)
