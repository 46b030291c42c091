"""Training a margin model on a return series, and what it is worth: in sample, walk-forward, feature by feature."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.backtest.engines import DAY
from experiments.figures.style import COLOURS, PAGE_WIDTH, save_figure, use_style
from experiments.price_files.return_series import ReturnSeries
from experiments.results import provenance, store
from sim.errors import DataError
from sim.margin.learned.features import FEATURE_NAMES, N_RETURNS_NEEDED
from sim.margin.learned.forest import Forest, fit_forest
from sim.margin.learned.learned import LearnedRequirement
from sim.margin.learned.trained import write_trained_forest
from sim.margin.tail.margin_path import build_perpetuals, iterate_views
from sim.margin.tail.models.history import count_rows
from sim.types import F8, I8

WalkForwardFold = tuple[I8, Forest]
"""Rows, and the model that was fitted to earlier days and predicts them."""

MODEL_FILE = "model.npz"
CALIBRATION_GROUPS = 5
"""Groups of equal size by predicted margin, for calibration."""


class TrainingReport(NamedTuple):
    """What a trained model is worth."""

    forest: Forest
    pinball: dict[
        str, float
    ]  # mean pinball loss over volatility: in sample, walk-forward, of a constant quantile
    exceedance_rates: dict[str, float]  # share of losses above the prediction, likewise
    calibration: pd.DataFrame  # group by prediction: share exceeded in sample and walk-forward
    importance: pd.DataFrame  # rise of walk-forward pinball loss when a feature is shuffled


def train_model(series: ReturnSeries, rule: LearnedRequirement) -> TrainingReport:
    """Fit to the whole series, and judge by models that were fitted to its past only.

    Args:
        series: daily log returns; every column is learnt from.
        rule: level, horizon and the rest.

    Raises:
        DataError: too little history to train and to judge.
    """
    features, target = _training_examples(series, rule)
    columns, needs = 2 * series.returns.shape[1], count_rows(rule.least, rule.every)
    days = len(target) // columns
    gap = count_rows(rule.horizon, rule.every)
    enough = max(2 * needs, needs + gap + 1)
    if days < enough:
        told = f"train: {len(series.returns)} returns leave {days} days to learn from"
        longer = "give a longer series" + (" or a shorter --horizon" if gap > 1 else "")
        raise DataError(f"{told}, at least {enough} are needed to train and to judge: {longer}")
    forest = fit_forest(features, target, rule.level, rule.trees)
    ahead, folds = _fit_walk_forward(features, target, rule, columns)
    inside = forest.predict(features)[ahead]
    outside = np.concatenate([fold.predict(features[rows]) for rows, fold in folds])
    seen = target[ahead]
    flat = np.full(seen.size, np.quantile(target[: ahead[0]], rule.level))
    forecasts = {"in sample": inside, "walk-forward": outside, "constant": flat}
    return TrainingReport(
        forest,
        {name: compute_pinball_loss(seen, each, rule.level) for name, each in forecasts.items()},
        {name: float((seen > each).mean()) for name, each in forecasts.items()},
        _tabulate_calibration(seen, inside, outside),
        _tabulate_importance(features, target, folds, rule.level),
    )


def compute_pinball_loss(seen: F8, predicted: F8, level: float) -> float:
    """Mean quantile loss: what a quantile forecast is to make small (Koenker and Bassett 1978)."""
    gap = seen - predicted
    return float(np.maximum(level * gap, (level - 1) * gap).mean())


def write_training(
    report: TrainingReport,
    rule: LearnedRequirement,
    folder: Path,
    *,
    source: str,
    overwrite: bool = False,
) -> Path:
    """Model, tables and figure, in a folder of their own; returns the model.

    Raises:
        OutputError: there is a result already, or the place cannot be written.
    """
    with store.ResultDraft(folder, overwrite=overwrite) as draft:
        write_trained_forest(
            draft.folder / MODEL_FILE, report.forest, (rule.level, rule.every, rule.horizon)
        )
        told = {"pinball": report.pinball, "exceeded": report.exceedance_rates, "level": rule.level}
        store.write_json(told, draft.folder / "report.json")
        (draft.folder / "figures").mkdir()
        _draw_training(report, rule.level, draft.folder / "figures")
        store.write_json(
            {"data": source, **provenance.describe_process()}, draft.folder / "manifest.json"
        )
        draft.commit()
    return folder / MODEL_FILE


def format_training(report: TrainingReport) -> str:
    """What it is worth, in a few lines."""
    lines = [f"{'':14}{'pinball':>10}{'exceeded':>10}"]
    lines += [
        f"{name:14}{report.pinball[name]:10.5f}{100 * report.exceedance_rates[name]:9.2f}%"
        for name in report.pinball
    ]
    top = report.importance.head(5)
    named = [f"{name} {rise:+.1%}" for name, rise in top[["feature", "rise"]].to_numpy()]
    lines.append("matter most, by the rise of loss when shuffled: " + ", ".join(named))
    return "\n".join(lines)


def _training_examples(series: ReturnSeries, rule: LearnedRequirement) -> tuple[F8, F8]:
    """What the requirement itself would have to learn from after the whole series."""
    never = DAY * 10 * len(series.returns)
    watching = rule.model_copy(update={"window": never, "least": never})
    margin = watching.bind(build_perpetuals(series.returns.shape[1]), unit=1)
    for view in iterate_views(
        np.append(series.returns, series.returns[:1], axis=0), DAY
    ):  # of the last row nothing is shown
        if view.tick:
            margin.observe(view)
    if not any(
        each.at + margin.horizon_rows <= margin.features.n_returns for each in margin.examples
    ):
        told = f"train: {len(series.returns)} returns are too few for any example"
        raise DataError(
            f"{told}, at least {N_RETURNS_NEEDED + margin.horizon_rows} are needed: give a longer series"
        )
    return margin.build_training_set()


def _fit_walk_forward(
    features: F8, target: F8, rule: LearnedRequirement, columns: int
) -> tuple[I8, list[WalkForwardFold]]:
    """Rows that models fitted to earlier days alone predict, and those models with their rows."""
    gap, step, needs = (
        count_rows(each, rule.every) for each in (rule.horizon, rule.refit, rule.least)
    )
    days = len(target) // columns
    folds = []
    for start in range(needs + gap, days, step):
        known = (start - gap) * columns  # losses that are over by then
        rows = np.arange(start * columns, min(start + step, days) * columns)
        folds.append((rows, fit_forest(features[:known], target[:known], rule.level, rule.trees)))
    return np.concatenate([rows for rows, _ in folds]), folds


def _tabulate_calibration(seen: F8, inside: F8, outside: F8) -> pd.DataFrame:
    parts = []
    for name, predicted in (("in sample", inside), ("walk-forward", outside)):
        group = (
            np.argsort(np.argsort(predicted, kind="stable"), kind="stable")
            * CALIBRATION_GROUPS
            // predicted.size
        )
        share = pd.Series(seen > predicted).groupby(group).mean()
        mean = pd.Series(predicted).groupby(group).mean()
        parts.append(
            pd.DataFrame(
                {"forecast": name, "group": share.index, "predicted": mean, "exceeded": share}
            )
        )
    return pd.concat(parts, ignore_index=True)


def _tabulate_importance(
    features: F8, target: F8, folds: list[WalkForwardFold], level: float
) -> pd.DataFrame:
    """Share by which walk-forward loss rises when a column is shuffled within each fold (Breiman 2001)."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rows for rows, _ in folds])
    base = compute_pinball_loss(
        target[rows], np.concatenate([fold.predict(features[own]) for own, fold in folds]), level
    )
    rises = []
    for column in range(len(FEATURE_NAMES)):
        predicted = []
        for own, fold in folds:
            mixed = features[own].copy()
            mixed[:, column] = rng.permutation(mixed[:, column])
            predicted.append(fold.predict(mixed))
        rises.append(
            compute_pinball_loss(target[rows], np.concatenate(predicted), level) / base - 1
        )
    return pd.DataFrame({"feature": FEATURE_NAMES, "rise": rises}).sort_values(
        "rise", ascending=False, ignore_index=True
    )


def _draw_training(report: TrainingReport, level: float, folder: Path) -> Path:
    """Calibration, pinball loss in and out of sample, importances."""
    with use_style():
        figure = Figure(figsize=(PAGE_WIDTH, 2.6), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(1.2, 0.8, 1.2))
        _draw_calibration(left, report.calibration, level)
        names = list(report.pinball)
        middle.bar(names, [report.pinball[name] for name in names], color=COLOURS[: len(names)])
        middle.set_ylabel("Pinball loss (over volatility)")
        middle.tick_params(axis="x", rotation=30)
        shown = report.importance.head(8).iloc[::-1]
        right.barh(shown["feature"], 100 * shown["rise"], color=COLOURS[0])
        right.set_xlabel("Rise of loss when shuffled (%)")
        for axes in (left, middle, right):
            seaborn.despine(ax=axes)
        loss = pd.DataFrame(
            {"what": "pinball", "name": names, "value": [report.pinball[name] for name in names]}
        )
        rise = report.importance.rename(columns={"feature": "name", "rise": "value"}).assign(
            what="importance"
        )
        cover = report.calibration.rename(columns={"forecast": "name", "exceeded": "value"}).assign(
            what="calibration"
        )
        return save_figure(figure, folder / "training", pd.concat([cover, loss, rise]))


def _draw_calibration(axes: Axes, table: pd.DataFrame, level: float) -> None:
    for number, (name, part) in enumerate(table.groupby("forecast", sort=False)):
        look = {"color": COLOURS[number], "marker": "os"[number], "markersize": 4, "linewidth": 1.0}
        axes.plot(
            part["group"] + 1,
            100 * part["exceeded"],
            linestyle=("-", "--")[number],
            label=str(name),
            **look,
        )
    axes.axhline(
        100 * (1 - level), color="0.4", linewidth=0.8, linestyle=":", label="as it should be"
    )
    axes.set_xticks(range(1, CALIBRATION_GROUPS + 1))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Fifth by predicted margin")
    axes.set_ylabel("Losses beyond it (%)")
    axes.legend(frameon=False)
