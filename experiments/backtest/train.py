"""Training of a margin model on a return series, and its scores in sample and walk-forward."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.backtest.engines import DAY
from experiments.figures.style import (
    COLOURS,
    PAGE_WIDTH,
    create_figure,
    draw_legend_above,
    draw_line,
    save_figure,
    use_style,
)
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WalkForwardFold = tuple[I8, Forest]
"""Rows, and the model that was fitted to earlier days and predicts them."""

MODEL_FILE = "model.npz"
CALIBRATION_GROUPS = 5
"""Number of groups of equal size by predicted margin, for calibration."""


class TrainingReport(NamedTuple):
    """Scores of a trained model."""

    forest: Forest
    # mean pinball loss over volatility: in sample, walk-forward, and of a constant quantile
    pinball: dict[str, float]
    # share of losses above the prediction, of the same forecasts
    exceedance_rates: dict[str, float]
    calibration: pd.DataFrame  # by group of predictions: share exceeded in sample and walk-forward
    importance: pd.DataFrame  # rise of walk-forward pinball loss when a feature is shuffled


def train_model(series: ReturnSeries, rule: LearnedRequirement) -> TrainingReport:
    """Fit a model to the whole series, and score models that were fitted to its past only.

    Args:
        series: daily log returns; every column is used.
        rule: requirement with level, horizon and training settings.

    Raises:
        DataError: too little history to train and to score.
    """
    features, target = _training_examples(series, rule)
    columns = 2 * series.returns.shape[1]
    _require_days(series, rule, len(target) // columns)
    forest = fit_forest(features, target, rule.level, rule.n_trees)
    ahead, folds = _fit_walk_forward(features, target, rule, columns)
    inside = forest.predict(features)[ahead]
    outside = np.concatenate([fold.predict(features[rows]) for rows, fold in folds])
    seen = target[ahead]
    flat = np.full(seen.size, np.quantile(target[: ahead[0]], rule.level))
    forecasts = {"in sample": inside, "walk-forward": outside, "constant": flat}
    return TrainingReport(
        forest=forest,
        pinball={
            name: compute_pinball_loss(seen, forecast, rule.level)
            for name, forecast in forecasts.items()
        },
        exceedance_rates={
            name: float((seen > forecast).mean()) for name, forecast in forecasts.items()
        },
        calibration=_tabulate_calibration(seen, inside, outside),
        importance=_tabulate_importance(features, target, folds, rule.level),
    )


def _require_days(series: ReturnSeries, rule: LearnedRequirement, days: int) -> None:
    """Refuse a series with too few days to train and to score.

    Raises:
        DataError: names the days that are needed.
    """
    needed = count_rows(rule.least, rule.every)
    gap = count_rows(rule.horizon, rule.every)
    enough = max(2 * needed, needed + gap + 1)
    if days < enough:
        problem = f"train: {len(series.returns)} returns leave {days} days to learn from"
        longer = "give a longer series" + (" or a shorter --horizon" if gap > 1 else "")
        raise DataError(f"{problem}, at least {enough} are needed to train and to judge: {longer}")


def compute_pinball_loss(seen: F8, predicted: F8, level: float) -> float:
    """Return the mean quantile loss, which a good quantile forecast minimises.

    Source: Koenker and Bassett 1978.
    """
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
    """Write model, tables and figure to a folder of their own; return the model's path.

    Raises:
        OutputError: there is a result already, or the place cannot be written.
    """
    with store.ResultDraft(folder, overwrite=overwrite) as draft:
        write_trained_forest(
            draft.folder / MODEL_FILE, report.forest, (rule.level, rule.every, rule.horizon)
        )
        scores = {
            "pinball": report.pinball,
            "exceeded": report.exceedance_rates,
            "level": rule.level,
        }
        store.write_json(scores, draft.folder / "report.json")
        (draft.folder / "figures").mkdir()
        _draw_training(report, rule.level, draft.folder / "figures")
        store.write_json(
            {"data": source, **provenance.describe_process()}, draft.folder / "manifest.json"
        )
        draft.commit()
    return folder / MODEL_FILE


def format_training(report: TrainingReport) -> str:
    """Return the scores of a model in a few lines."""
    lines = [f"{'':14}{'pinball':>10}{'exceeded':>10}"]
    lines += [
        f"{name:14}{report.pinball[name]:10.5f}{100 * report.exceedance_rates[name]:9.2f}%"
        for name in report.pinball
    ]
    top = report.importance.head(5)
    named = [f"{name} {rise:+.1%}" for name, rise in top[["feature", "rise"]].to_numpy()]
    lines.append("most important, by the rise of loss when shuffled: " + ", ".join(named))
    return "\n".join(lines)


def _training_examples(series: ReturnSeries, rule: LearnedRequirement) -> tuple[F8, F8]:
    """Return the examples that the requirement itself would have after the whole series."""
    never = DAY * 10 * len(series.returns)
    watching = rule.model_copy(update={"window": never, "least": never})
    margin = watching.bind(build_perpetuals(series.returns.shape[1]), unit=1)
    # The last row is not shown, hence one more.
    shown = np.append(series.returns, series.returns[:1], axis=0)
    for view in iterate_views(shown, DAY):
        if view.tick:
            margin.observe(view)
    last = margin.features.n_returns
    if not any(example.at + margin.horizon_rows <= last for example in margin.examples):
        problem = f"train: {len(series.returns)} returns are too few for any example"
        needed = N_RETURNS_NEEDED + margin.horizon_rows
        raise DataError(f"{problem}, at least {needed} are needed: give a longer series")
    return margin.build_training_set()


def _fit_walk_forward(
    features: F8, target: F8, rule: LearnedRequirement, columns: int
) -> tuple[I8, list[WalkForwardFold]]:
    """Return the rows that models fitted to earlier days predict, and those models."""
    gap, step, needed = (
        count_rows(seconds, rule.every)
        for seconds in (rule.horizon, rule.refit_interval, rule.least)
    )
    days = len(target) // columns
    folds = []
    for start in range(needed + gap, days, step):
        known = (start - gap) * columns  # losses that have ended by then
        rows = np.arange(start * columns, min(start + step, days) * columns)
        folds.append((rows, fit_forest(features[:known], target[:known], rule.level, rule.n_trees)))
    return np.concatenate([rows for rows, _ in folds]), folds


def _tabulate_calibration(seen: F8, inside: F8, outside: F8) -> pd.DataFrame:
    parts = []
    for name, predicted in (("in sample", inside), ("walk-forward", outside)):
        ranks = np.argsort(np.argsort(predicted, kind="stable"), kind="stable")
        group = ranks * CALIBRATION_GROUPS // predicted.size
        share = pd.Series(seen > predicted).groupby(group).mean()
        mean = pd.Series(predicted).groupby(group).mean()
        columns = {"forecast": name, "group": share.index, "predicted": mean, "exceeded": share}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def _tabulate_importance(
    features: F8, target: F8, folds: list[WalkForwardFold], level: float
) -> pd.DataFrame:
    """Return the relative rise of walk-forward loss when a column is shuffled within each fold.

    Source: Breiman 2001.
    """
    rng = np.random.default_rng(0)
    seen = target[np.concatenate([rows for rows, _ in folds])]
    forecast = np.concatenate([fold.predict(features[own]) for own, fold in folds])
    base = compute_pinball_loss(seen, forecast, level)
    rises = []
    for column in range(len(FEATURE_NAMES)):
        predicted = []
        for own, fold in folds:
            mixed = features[own].copy()
            mixed[:, column] = rng.permutation(mixed[:, column])
            predicted.append(fold.predict(mixed))
        loss = compute_pinball_loss(seen, np.concatenate(predicted), level)
        rises.append(loss / base - 1)
    table = pd.DataFrame({"feature": FEATURE_NAMES, "rise": rises})
    return table.sort_values("rise", ascending=False, ignore_index=True)


def _draw_training(report: TrainingReport, level: float, folder: Path) -> Path:
    """Draw calibration, pinball loss in and out of sample, and importances."""
    import seaborn

    with use_style():
        figure = create_figure(PAGE_WIDTH, 2.6)
        left, middle, right = figure.subplots(1, 3, width_ratios=(1.2, 0.8, 1.2))
        _draw_calibration(left, report.calibration, level)
        names, losses = list(report.pinball), list(report.pinball.values())
        _draw_losses(middle, report.pinball)
        _draw_importance(right, report.importance)
        for axes in (left, middle, right):
            seaborn.despine(ax=axes)
        loss = pd.DataFrame({"what": "pinball", "name": names, "value": losses})
        rise = report.importance.rename(columns={"feature": "name", "rise": "value"})
        cover = report.calibration.rename(columns={"forecast": "name", "exceeded": "value"})
        parts = [cover.assign(what="calibration"), loss, rise.assign(what="importance")]
        return save_figure(figure, folder / "training", pd.concat(parts))


def _draw_losses(axes: "Axes", pinball: dict[str, float]) -> None:
    import seaborn
    from matplotlib.ticker import MaxNLocator

    names, losses = list(pinball), list(pinball.values())
    bars: dict[str, Any] = {"palette": COLOURS[: len(names)], "saturation": 1, "legend": False}
    seaborn.barplot(x=losses, y=names, hue=names, ax=axes, **bars)
    axes.set_xlabel("Pinball loss (over volatility)")
    axes.xaxis.set_major_locator(MaxNLocator(3))


def _draw_importance(axes: "Axes", importance: pd.DataFrame) -> None:
    import seaborn

    shown = importance.head(8)
    bars: dict[str, Any] = {"color": COLOURS[0], "saturation": 1}
    seaborn.barplot(x=100 * shown["rise"], y=shown["feature"], ax=axes, **bars)
    axes.set(xlabel="Rise of loss when shuffled (%)", ylabel="")


def _draw_calibration(axes: "Axes", table: pd.DataFrame, level: float) -> None:
    for number, (name, part) in enumerate(table.groupby("forecast", sort=False)):
        look: dict[str, Any] = {
            "color": COLOURS[number],
            "marker": "os"[number],
            "markersize": 5,
        }
        look |= {"linestyle": ("-", "--")[number], "label": str(name)}
        draw_line(axes, part["group"] + 1, 100 * part["exceeded"], **look)
    target: dict[str, Any] = {"color": "0.4", "linewidth": 0.8, "linestyle": ":"}
    axes.axhline(100 * (1 - level), label="target", **target)
    axes.set_xticks(range(1, CALIBRATION_GROUPS + 1))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Fifth by predicted margin")
    axes.set_ylabel("Losses above the prediction (%)")
    draw_legend_above(axes, ncols=2)
