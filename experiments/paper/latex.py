"""Tables as LaTeX in booktabs, for any engine: characters beyond ASCII become commands."""

import re
from collections.abc import Sequence

import pandas as pd

MAX_FLOAT_ROWS = 40
"""Largest number of rows that fit on a page; longer tables are a longtable."""

SYMBOLS = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{DIVISION SIGN}": r"$\div$",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
    "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
    "\N{ALMOST EQUAL TO}": r"$\approx$",
    "\N{INFINITY}": r"$\infty$",
    "\N{VULGAR FRACTION ONE HALF}": r"$\frac{1}{2}$",
    "\N{SUPERSCRIPT TWO}": "$^2$",
    "\N{HORIZONTAL ELLIPSIS}": r"\dots{}",
    "\N{RIGHTWARDS ARROW}": r"$\rightarrow$",
    "\N{NO-BREAK SPACE}": "~",
}
SMALL_GREEK = (
    "alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi pi "
    "rho sigma tau upsilon varphi chi psi omega"
)
GREEK = dict(zip("αβγδεζηθικλμνξπρστυφχψω", SMALL_GREEK.split(), strict=True))
CAPITAL_GREEK = ["Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega"]
GREEK |= dict(zip("ΓΔΘΛΞΠΣΦΨΩ", CAPITAL_GREEK, strict=True))
SYMBOLS |= {letter: f"$\\{name}$" for letter, name in GREEK.items()}


def escape_text(text: str) -> str:
    """Escape text for LaTeX; accented letters are left to its UTF-8."""
    return "".join(SYMBOLS.get(letter, letter) for letter in text)


def format_tabular(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]
) -> str:
    """Format the bare table, for use within any float.

    Args:
        columns: headings.
        rows: cells as text.
        right: True for columns that are aligned to the right, as numbers are.
    """
    lines = [
        rf"\begin{{tabular}}{{{_column_spec(right)}}}",
        r"\toprule",
        _format_row(columns),
        r"\midrule",
    ]
    return "\n".join([*lines, *map(_format_row, rows), r"\bottomrule", r"\end{tabular}", ""])


def format_float(shown: pd.DataFrame, *, caption: str, label: str) -> str:
    """Format a float with caption and label, or a longtable if it does not fit on a page.

    The document needs the packages ``booktabs`` and ``longtable``.

    Args:
        shown: cells as text, see ``tables.format_table``; columns of numbers are found by their
            content.
        caption: plain text.
        label: label for references.
    """
    right, rows = [is_number_column(shown[name]) for name in shown], shown.to_numpy().tolist()
    title = rf"\caption{{{escape_text(caption)}}}\label{{tab:{label}}}"
    if len(rows) <= MAX_FLOAT_ROWS:
        inner = format_tabular(list(shown.columns), rows, right)
        return "\n".join(
            [r"\begin{table}", r"\centering", title, inner.rstrip("\n"), r"\end{table}", ""]
        )
    head = [rf"\begin{{longtable}}{{{_column_spec(right)}}}", rf"{title}\\"]
    names = [r"\toprule", _format_row(list(shown.columns)), r"\midrule"]
    parts = [*head, *names, r"\endfirsthead", *names, r"\endhead", r"\bottomrule", r"\endfoot"]
    return "\n".join([*parts, *map(_format_row, rows), r"\end{longtable}", ""])


def _format_row(cells: Sequence[str]) -> str:
    return " & ".join(map(escape_text, cells)) + r" \\"


def _column_spec(right: Sequence[bool]) -> str:
    return "".join("r" if is_right else "l" for is_right in right)


def is_number_column(column: "pd.Series[str]") -> bool:
    """Return True if every non-empty cell begins as a number."""
    filled = [text for text in column if text not in ("", "none")]
    return bool(filled) and all(re.match(r"[<+\N{MINUS SIGN}]?\d", text) for text in filled)
