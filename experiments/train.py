"""Training a margin model on a return series, and what it is worth: in sample, walk-forward, feature by feature."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import provenance, store
from experiments.backtest_engines import DAY
from experiments.figures_style import COLOURS, PAGE, save, style
from experiments.series import Series
from sim.errors import DataError
from sim.margin.features import MEMORY, NAMES
from sim.margin.forest import Forest, grown
from sim.margin.learned import Learned
from sim.margin.models.history import rows_of
from sim.margin.trained import write_trained
from sim.margin.walk import contracts_of, views
from sim.types import F8, I8

Fold = tuple[I8, Forest]
"""Rows, and the model that was fitted to earlier days and predicts them."""

MODEL = "model.npz"
GROUPS = 5
"""Groups of equal size by predicted margin, for calibration."""


class Report(NamedTuple):
    """What a trained model is worth."""

    forest: Forest
    pinball: dict[str, float]  # mean pinball loss over volatility: in sample, walk-forward, of a constant quantile
    exceeded: dict[str, float]  # share of losses above the prediction, likewise
    calibration: pd.DataFrame  # group by prediction: share exceeded in sample and walk-forward
    importance: pd.DataFrame  # rise of walk-forward pinball loss when a feature is shuffled


def train(series: Series, rule: Learned) -> Report:
    """Fit to the whole series, and judge by models that were fitted to its past only.

    Args:
        series: daily log returns; every column is learnt from.
        rule: level, horizon and the rest.

    Raises:
        DataError: too little history to train and to judge.
    """
    features, target = _lessons(series, rule)
    columns, needs = 2 * series.returns.shape[1], rows_of(rule.least, rule.every)
    days = len(target) // columns
    gap = rows_of(rule.horizon, rule.every)
    enough = max(2 * needs, needs + gap + 1)
    if days < enough:
        told = f"train: {len(series.returns)} returns leave {days} days to learn from"
        longer = "give a longer series" + (" or a shorter --horizon" if gap > 1 else "")
        raise DataError(f"{told}, at least {enough} are needed to train and to judge: {longer}")
    forest = grown(features, target, rule.level, rule.trees)
    ahead, folds = _walk_forward(features, target, rule, columns)
    inside = forest.predict(features)[ahead]
    outside = np.concatenate([fold.predict(features[rows]) for rows, fold in folds])
    seen = target[ahead]
    flat = np.full(seen.size, np.quantile(target[: ahead[0]], rule.level))
    forecasts = {"in sample": inside, "walk-forward": outside, "constant": flat}
    return Report(
        forest,
        {name: pinball(seen, each, rule.level) for name, each in forecasts.items()},
        {name: float((seen > each).mean()) for name, each in forecasts.items()},
        _calibration(seen, inside, outside),
        _importance(features, target, folds, rule.level),
    )


def pinball(seen: F8, predicted: F8, level: float) -> float:
    """Mean quantile loss: what a quantile forecast is to make small (Koenker and Bassett 1978)."""
    gap = seen - predicted
    return float(np.maximum(level * gap, (level - 1) * gap).mean())


def write(report: Report, rule: Learned, folder: Path, *, source: str, overwrite: bool = False) -> Path:
    """Model, tables and figure, in a folder of their own; returns the model.

    Raises:
        OutputError: there is a result already, or the place cannot be written.
    """
    with store.Draft(folder, overwrite=overwrite) as draft:
        write_trained(draft.folder / MODEL, report.forest, (rule.level, rule.every, rule.horizon))
        told = {"pinball": report.pinball, "exceeded": report.exceeded, "level": rule.level}
        store.write_json(told, draft.folder / "report.json")
        (draft.folder / "figures").mkdir()
        _figure(report, rule.level, draft.folder / "figures")
        store.write_json({"data": source, **provenance.manifest()}, draft.folder / "manifest.json")
        draft.commit()
    return folder / MODEL


def text(report: Report) -> str:
    """What it is worth, in a few lines."""
    lines = [f"{'':14}{'pinball':>10}{'exceeded':>10}"]
    lines += [f"{name:14}{report.pinball[name]:10.5f}{100 * report.exceeded[name]:9.2f}%" for name in report.pinball]
    top = report.importance.head(5)
    named = [f"{name} {rise:+.1%}" for name, rise in top[["feature", "rise"]].to_numpy()]
    lines.append("matter most, by the rise of loss when shuffled: " + ", ".join(named))
    return "\n".join(lines)


def _lessons(series: Series, rule: Learned) -> tuple[F8, F8]:
    """What the requirement itself would have to learn from after the whole series."""
    never = DAY * 10 * len(series.returns)
    watching = rule.model_copy(update={"window": never, "least": never})
    margin = watching.bind(contracts_of(series.returns.shape[1]), unit=1)
    for view in views(np.append(series.returns, series.returns[:1], axis=0), DAY):  # of the last row nothing is shown
        if view.tick:
            margin.observe(view)
    if not any(each.at + margin.span <= margin.features.seen for each in margin.examples):
        told = f"train: {len(series.returns)} returns are too few for any example"
        raise DataError(f"{told}, at least {MEMORY + margin.span} are needed: give a longer series")
    return margin.lessons()


def _walk_forward(features: F8, target: F8, rule: Learned, columns: int) -> tuple[I8, list[Fold]]:
    """Rows that models fitted to earlier days alone predict, and those models with their rows."""
    gap, step, needs = (rows_of(each, rule.every) for each in (rule.horizon, rule.refit, rule.least))
    days = len(target) // columns
    folds = []
    for start in range(needs + gap, days, step):
        known = (start - gap) * columns  # losses that are over by then
        rows = np.arange(start * columns, min(start + step, days) * columns)
        folds.append((rows, grown(features[:known], target[:known], rule.level, rule.trees)))
    return np.concatenate([rows for rows, _ in folds]), folds


def _calibration(seen: F8, inside: F8, outside: F8) -> pd.DataFrame:
    parts = []
    for name, predicted in (("in sample", inside), ("walk-forward", outside)):
        group = np.argsort(np.argsort(predicted, kind="stable"), kind="stable") * GROUPS // predicted.size
        share = pd.Series(seen > predicted).groupby(group).mean()
        mean = pd.Series(predicted).groupby(group).mean()
        parts.append(pd.DataFrame({"forecast": name, "group": share.index, "predicted": mean, "exceeded": share}))
    return pd.concat(parts, ignore_index=True)


def _importance(features: F8, target: F8, folds: list[Fold], level: float) -> pd.DataFrame:
    """Share by which walk-forward loss rises when a column is shuffled within each fold (Breiman 2001)."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rows for rows, _ in folds])
    base = pinball(target[rows], np.concatenate([fold.predict(features[own]) for own, fold in folds]), level)
    rises = []
    for column in range(len(NAMES)):
        predicted = []
        for own, fold in folds:
            mixed = features[own].copy()
            mixed[:, column] = rng.permutation(mixed[:, column])
            predicted.append(fold.predict(mixed))
        rises.append(pinball(target[rows], np.concatenate(predicted), level) / base - 1)
    return pd.DataFrame({"feature": NAMES, "rise": rises}).sort_values("rise", ascending=False, ignore_index=True)


def _figure(report: Report, level: float, folder: Path) -> Path:
    """Calibration, pinball loss in and out of sample, importances."""
    with style():
        figure = Figure(figsize=(PAGE, 2.6), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(1.2, 0.8, 1.2))
        _calibrated(left, report.calibration, level)
        names = list(report.pinball)
        middle.bar(names, [report.pinball[name] for name in names], color=COLOURS[: len(names)])
        middle.set_ylabel("Pinball loss (over volatility)")
        middle.tick_params(axis="x", rotation=30)
        shown = report.importance.head(8).iloc[::-1]
        right.barh(shown["feature"], 100 * shown["rise"], color=COLOURS[0])
        right.set_xlabel("Rise of loss when shuffled (%)")
        for axes in (left, middle, right):
            seaborn.despine(ax=axes)
        loss = pd.DataFrame({"what": "pinball", "name": names, "value": [report.pinball[name] for name in names]})
        rise = report.importance.rename(columns={"feature": "name", "rise": "value"}).assign(what="importance")
        cover = report.calibration.rename(columns={"forecast": "name", "exceeded": "value"}).assign(what="calibration")
        return save(figure, folder / "training", pd.concat([cover, loss, rise]))


def _calibrated(axes: Axes, table: pd.DataFrame, level: float) -> None:
    for number, (name, part) in enumerate(table.groupby("forecast", sort=False)):
        look = {"color": COLOURS[number], "marker": "os"[number], "markersize": 4, "linewidth": 1.0}
        axes.plot(part["group"] + 1, 100 * part["exceeded"], linestyle=("-", "--")[number], label=str(name), **look)
    axes.axhline(100 * (1 - level), color="0.4", linewidth=0.8, linestyle=":", label="as it should be")
    axes.set_xticks(range(1, GROUPS + 1))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Fifth by predicted margin")
    axes.set_ylabel("Losses beyond it (%)")
    axes.legend(frameon=False)
