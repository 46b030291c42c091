"""The loss layer of sim/waterfall/README.md keeps the laws of loss layers."""

import re
from pathlib import Path
from typing import Any

import pytest

from sim.checks import loss_layers
from sim.checks.law import Finding, run_suite

PAGE = Path(__file__).parents[2] / "sim" / "waterfall" / "README.md"


def check_page(change: tuple[str, str] = ("", "")) -> list[Finding]:
    """Return the findings on the page's layer, with a text of it replaced."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    names: dict[str, Any] = {"__name__": "half_paid"}
    exec(code.replace(*change), names)
    return list(run_suite(loss_layers.SUITE, names["HalfPaid"](), worlds=60))


def test_the_layer_of_the_page_keeps_every_law() -> None:
    findings = check_page()
    assert len(findings) == len(loss_layers.SUITE.laws)
    assert [finding for finding in findings if finding.fault] == []


@pytest.mark.parametrize(
    "change", [("// 2", "* 2"), ("min(due, max(0, int(context.assessment.equity[fund])))", "due")]
)
def test_a_layer_that_takes_too_much_is_found(change: tuple[str, str]) -> None:
    assert any(finding.fault for finding in check_page(change))
