"""What the backtest of a run leaves: its engines' table, and beside it what became of the market."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.backtest import report
from experiments.backtest.finished_run import MARK, ORACLE, UNTOUCHED, RunBacktest, is_price_covered
from experiments.backtest.report import BacktestSource, format_booktabs
from experiments.results import store

FALL_NAMES = {"mark_fall": "deepest fall of a mark", "exogenous_fall": "of the index, untouched"}
AMOUNT_NAMES = {
    "closed_out_notional": "closed out",
    "adl_notional": "closed by ADL",
    "peak_open_interest": "peak open interest",
    "fund_draw": "drawn from the fund",
    "bad_debt": "bad debt",
    "system_loss": "loss that own margin did not bear",
}
PRICE_NAMES = {
    UNTOUCHED: "the index as nobody moved it",
    ORACLE: "the index that the market moved",
    MARK: "the mark",
}


def format_json(run: RunBacktest) -> str:
    """Engines, the verdict on each price, and the outcome."""
    told = {
        "engines": [each.figures for each in run.backtests],
        "covers": _coverage_by_price(run),
        "outcome": run.outcome,
    }
    return json.dumps(told, indent=2, allow_nan=False)


def format_text(run: RunBacktest) -> str:
    """Table, verdicts, outcome."""
    width = max(map(len, PRICE_NAMES.values())) + 4
    verdicts = [
        f"{PRICE_NAMES[name]:<{width}}{'covers' if good else 'DOES NOT COVER'}"
        for name, good in _coverage_by_price(run).items()
    ]
    outcome = [f"{name:<{width}}{value}" for name, value in _outcome_rows(run)]
    gap = f"margins differ from the backtest of the same oracle by {run.outcome['gap_to_backtest']:.1e} at most"
    return "\n".join([report.format_text(run.backtests), "", *verdicts, "", *outcome, gap])


def write_run_backtest(
    run: RunBacktest, folder: Path, *, source: str, overwrite: bool = False
) -> Path:
    """Everything, in a folder of its own.

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
    """What the run came to, in words and units."""
    told = [
        (word, "-" if (fall := run.outcome[key]) is None else f"{100 * fall:.2f}%")
        for key, word in FALL_NAMES.items()
    ]
    told.append(("owners closed out", f"{run.outcome['closed_out_owners']:,}"))
    return told + [
        (word, _format_money(run, run.outcome[key])) for key, word in AMOUNT_NAMES.items()
    ]


def _format_money(run: RunBacktest, amount: Any) -> str:
    return f"{amount / run.minor_units:,.0f} {run.currency}"
