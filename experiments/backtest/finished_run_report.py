"""What the backtest of a run leaves: its engines' table, and beside it what became of the market."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.backtest import report
from experiments.backtest.finished_run import MARK, ORACLE, UNTOUCHED, RunJudged, passes
from experiments.backtest.report import Source, booktabs
from experiments.results import store

SHARES = {"mark_fall": "deepest fall of a mark", "exogenous_fall": "of the index, untouched"}
MONEY = {
    "closed_out_notional": "closed out",
    "adl_notional": "closed by ADL",
    "peak_open_interest": "peak open interest",
    "fund_draw": "drawn from the fund",
    "bad_debt": "bad debt",
    "system_loss": "loss that own margin did not bear",
}
WORDS = {UNTOUCHED: "the index as nobody moved it", ORACLE: "the index that the market moved", MARK: "the mark"}


def as_json(run: RunJudged) -> str:
    """Engines, the verdict on each price, and the outcome."""
    told = {"engines": [each.figures for each in run.judged], "covers": _covers(run), "outcome": run.outcome}
    return json.dumps(told, indent=2, allow_nan=False)


def text(run: RunJudged) -> str:
    """Table, verdicts, outcome."""
    width = max(map(len, WORDS.values())) + 4
    verdicts = [
        f"{WORDS[name]:<{width}}{'covers' if good else 'DOES NOT COVER'}" for name, good in _covers(run).items()
    ]
    outcome = [f"{name:<{width}}{value}" for name, value in _outcome(run)]
    gap = f"margins differ from the backtest of the same oracle by {run.outcome['gap_to_backtest']:.1e} at most"
    return "\n".join([report.text(run.judged), "", *verdicts, "", *outcome, gap])


def write(run: RunJudged, folder: Path, *, source: str, overwrite: bool = False) -> Path:
    """Everything, in a folder of its own.

    Raises:
        OutputError: there is a result already, or the place cannot be written.
    """
    moments = run.when.dtype.kind == "M"
    with store.Draft(folder, overwrite=overwrite) as draft:
        axis = "Time of the exchange" if moments else "Hours"
        report.lay_out(run.judged, Source(source, run.when, axis), draft.folder)
        store.write_text(as_json(run) + "\n", draft.folder / "backtest.json")
        tables = [report.latex(run.judged), booktabs([("outcome", "value"), *_outcome(run)])]
        store.write_text("\n".join(tables), draft.folder / "backtest.tex")
        outcome = {key: value for key, value in run.outcome.items() if not isinstance(value, dict)}
        table = pd.DataFrame({"measure": outcome.keys(), "value": outcome.values()})
        store.write_csv(table, draft.folder / "outcome.csv")
        draft.commit()
    return folder


def _covers(run: RunJudged) -> dict[str, bool]:
    return {against: passes(run.judged, against) for against in WORDS}


def _outcome(run: RunJudged) -> list[tuple[str, str]]:
    """What the run came to, in words and units."""
    told = [(word, "-" if (fall := run.outcome[key]) is None else f"{100 * fall:.2f}%") for key, word in SHARES.items()]
    told.append(("owners closed out", f"{run.outcome['closed_out_owners']:,}"))
    return told + [(word, _money(run, run.outcome[key])) for key, word in MONEY.items()]


def _money(run: RunJudged, amount: Any) -> str:
    return f"{amount / run.minor:,.0f} {run.currency}"
