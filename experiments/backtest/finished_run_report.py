"""Report of a run's backtest: the engines' table, and the outcome of the market."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.backtest import report
from experiments.backtest.finished_run import MARK, ORACLE, UNTOUCHED, RunBacktest, is_price_covered
from experiments.backtest.report import BacktestSource, format_booktabs
from experiments.results import store

FALL_NAMES = {
    "mark_fall": "deepest fall of a mark",
    "exogenous_fall": "deepest fall of the untouched index",
}
AMOUNT_NAMES = {
    "closed_out_notional": "closed out",
    "adl_notional": "closed by ADL",
    "peak_open_interest": "peak open interest",
    "fund_draw": "drawn from the fund",
    "bad_debt": "bad debt",
    "system_loss": "loss that own margin did not bear",
}
PRICE_NAMES = {
    UNTOUCHED: "the untouched index",
    ORACLE: "the index that the market moved",
    MARK: "the mark",
}


def format_json(run: RunBacktest) -> str:
    """Return engines, coverage of each price, and the outcome as JSON."""
    content = {
        "engines": [backtest.figures for backtest in run.backtests],
        "covers": _coverage_by_price(run),
        "outcome": run.outcome,
    }
    return json.dumps(content, indent=2, allow_nan=False)


def format_text(run: RunBacktest) -> str:
    """Return the table, coverage of each price, and the outcome as text."""
    width = max(map(len, (*PRICE_NAMES.values(), *FALL_NAMES.values()))) + 4
    coverage = [
        f"{PRICE_NAMES[name]:<{width}}{'covers' if covered else 'DOES NOT COVER'}"
        for name, covered in _coverage_by_price(run).items()
    ]
    outcome = [f"{name:<{width}}{value}" for name, value in _outcome_rows(run)]
    size = f"{run.outcome['gap_to_backtest']:.1e}"
    gap = f"margins differ from the backtest of the same oracle by {size} at most"
    return "\n".join([report.format_text(run.backtests), "", *coverage, "", *outcome, gap])


def write_run_backtest(
    run: RunBacktest, folder: Path, *, source: str, overwrite: bool = False
) -> Path:
    """Write all outputs to a folder of their own.

    Raises:
        OutputError: there is a result already, or the place cannot be written.
    """
    moments = run.step_times.dtype.kind == "M"
    with store.ResultDraft(folder, overwrite=overwrite) as draft:
        axis = "Time of the exchange" if moments else "Hours"
        report.write_backtest_files(
            run.backtests, BacktestSource(source, run.step_times, axis), draft.folder
        )
        store.write_text(format_json(run) + "\n", draft.folder / "backtest.json")
        tables = [
            report.format_latex(run.backtests),
            format_booktabs([("outcome", "value"), *_outcome_rows(run)]),
        ]
        store.write_text("\n".join(tables), draft.folder / "backtest.tex")
        outcome = {key: value for key, value in run.outcome.items() if not isinstance(value, dict)}
        table = pd.DataFrame({"measure": outcome.keys(), "value": outcome.values()})
        store.write_csv(table, draft.folder / "outcome.csv")
        draft.commit()
    return folder


def _coverage_by_price(run: RunBacktest) -> dict[str, bool]:
    return {against: is_price_covered(run.backtests, against) for against in PRICE_NAMES}


def _outcome_rows(run: RunBacktest) -> list[tuple[str, str]]:
    """Return the outcome of a run as labels and values with units."""
    rows = []
    for key, label in FALL_NAMES.items():
        fall = run.outcome[key]
        rows.append((label, "-" if fall is None else f"{100 * fall:.2f}%"))
    rows.append(("owners closed out", f"{run.outcome['closed_out_owners']:,}"))
    amounts = [(label, _format_money(run, run.outcome[key])) for key, label in AMOUNT_NAMES.items()]
    return rows + amounts


def _format_money(run: RunBacktest, amount: Any) -> str:
    return f"{amount / run.minor_units:,.0f} {run.currency}"
