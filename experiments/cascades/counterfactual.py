"""Attribution beside the counterfactual, for everybody who mattered in a cascade (LIQ-8, LIQ-9).

Attribution says how much of what followed passed through somebody; the twin without him says how much does not follow
then. Of one twin that is a whole number of accounts, which a tick decides. Both are therefore averaged over
neighbouring worlds: the same market before the cascade, every account's equity a little different. For whoever twins
have not told from nil after so many worlds, they go on.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from experiments.cascades.branching import MarketSnapshot
from experiments.cascades.counterfactual_runs import find_extreme_mark, rescue_owner
from experiments.cascades.one_cascade import Cascade, format_owner, measure_passed_harm
from sim.metrics.cascades import Frames
from sim.metrics.contagion import ContagionLinks, build_contagion, divide_by_lots
from sim.metrics.generations import compute_passed_share
from sim.types import B1, F8

MIN_SHARE = 0.01
"""Share of a cascade's notional from which on somebody is compared."""

MAX_EQUITY_SHIFT = 0.002
"""Largest difference of an account's equity between neighbouring worlds, over its notional, unless another is asked."""

MAX_WORLDS_FACTOR = 4
"""Times as many worlds at most, for whoever is undecided."""

SIGNIFICANCE_LEVEL = 0.05
"""Chance that an interval misses the mean, all looks at the same owner together."""

ROUNDING_DUST = 1e-9
"""Shares below it are what rounding left."""

REMOVAL_COLUMNS = ("spared", "prevented", "returned")
"""What twins find."""


class NeighbouringWorlds(NamedTuple):
    """How many neighbouring worlds, and how far they are apart."""

    n_least: int
    n_most: int
    max_shift: float = MAX_EQUITY_SHIFT  # largest difference of an account's equity, over its notional; the first world is the run

    @property
    def interim_looks(self) -> list[int]:
        """After how many it is asked about whom to go on: the least, and its doubles up to the most."""
        found = [self.n_least]
        while 2 * found[-1] <= self.n_most:
            found.append(2 * found[-1])
        return found


class CascadeScale(NamedTuple):
    """What a cascade's figures are shares of."""

    prices: "pd.Series[float]"  # notional of a lot, by instrument, mean of the run: to sell dearer is not to sell more
    notional: float  # of the cascade
    mark_move: float  # of the mark, from before the cascade to its farthest


def compare_with_removal(
    case: Cascade, base: MarketSnapshot, worlds: NeighbouringWorlds
) -> pd.DataFrame:
    """A row for each owner with at least a hundredth of a cascade, the largest first.

    Columns: owner, name, ``worlds``; ``size``, its share of the cascade's notional; ``unmet``, the same for all: the
    share of what had to be closed in the cascade's steps that found nobody at its limit. Then means over worlds, of
    attribution and of twins in pairs, shares of the cascade's: ``pushed``, what others had to close of which harm
    passed through it, and ``spared``, what of it they do not have to without it, filled or not; ``attributed`` and
    ``prevented``, the same of what the book took; ``carried``, how far it and those whom it pushed took the mark, and
    ``returned``, how much less far that goes without it (a mark that recovers on its way is taken farther in all than
    it goes, and claims can exceed the whole); ``pushed_lots`` and ``carried_lots``, claims where moves are divided by
    lots. Last ``*_reach``, half of each interval of what twins find.

    Args:
        case: the cascade.
        base: the run before it.
        worlds: how many.
    """
    owned = case.actions.groupby("owner")["notional"].sum() / case.actions["notional"].sum()
    owned = owned[owned >= MIN_SHARE].sort_values(ascending=False, kind="stable").rename("size")
    scale, rows, asked, done = (
        _measure_scale(case),
        list[dict[str, float]](),
        owned.index.tolist(),
        0,
    )
    for until in worlds.interim_looks:
        for number in range(done, until):
            draws = np.random.default_rng(number).uniform(
                -worlds.max_shift, worlds.max_shift, base.restore_market().state.n_owners
            )
            rows += _simulate_world(
                case, base, draws if number else np.zeros_like(draws), scale, asked
            )
        table, done = _average_worlds(pd.DataFrame(rows), len(worlds.interim_looks)), until
        told = np.all([find_decided_rows(table, name) for name in REMOVAL_COLUMNS], axis=0)
        asked = [owner for owner in asked if owner not in table.index[told]]
        if not asked:
            break
    names = (
        case.actions.drop_duplicates("owner")
        .set_index("owner", drop=False)
        .apply(format_owner, axis=1)
        .rename("name")
    )
    run = _select_closeouts(case, case.frames, scale)
    unmet = max(1.0 - run["filled"].sum() / run["due"].sum(), 0.0)
    return (
        pd.concat([owned, table], axis=1).join(names).reset_index(names="owner").assign(unmet=unmet)
    )


def find_decided_rows(table: pd.DataFrame, found: str) -> B1:
    """Of which rows twins tell the sign of a mean: its interval leaves nil out. Nil in every world does not."""
    mean, reach = (table[name].to_numpy(np.float64) for name in (found, f"{found}_reach"))
    return (np.abs(mean) > reach) & (
        np.abs(mean) > ROUNDING_DUST
    )  # sums of the same amounts in another order are not the same


def _average_worlds(rows: pd.DataFrame, looks: int) -> pd.DataFrame:
    """Of each owner's worlds, and Student's intervals that hold for all looks together (Bonferroni)."""
    grouped = rows.groupby("owner")
    count = grouped.size().rename("worlds")
    reach = (
        grouped[list(REMOVAL_COLUMNS)]
        .sem()
        .mul(stats.t.ppf(1 - SIGNIFICANCE_LEVEL / 2 / looks, count - 1), axis=0)
    )
    return pd.concat([grouped.mean(), count, reach.add_suffix("_reach")], axis=1)


def _measure_scale(case: Cascade) -> CascadeScale:
    closed, own = case.frames["closeouts"], case.closeouts.sort_values("id")
    sums = (
        closed[closed["filled"] > 0]
        .groupby("instrument")[["notional", "filled"]]
        .sum()
        .astype(np.float64)
    )
    first = own.loc[own["instrument"] == case.instrument, "mark_before"].iloc[0]
    way = abs(find_extreme_mark(case, case.frames) - first)
    return CascadeScale(
        sums["notional"] / sums["filled"], case.actions["notional"].sum(), way or 1.0
    )


def _simulate_world(
    case: Cascade, base: MarketSnapshot, nudge: F8, scale: CascadeScale, owners: list[int]
) -> Iterator[dict[str, float]]:
    """What attribution and removal say of each owner in one world."""
    until = case.window[1]
    world = base.simulate_frames(until, nudge)
    tried, links = _select_closeouts(case, world, scale), build_contagion(world)
    lots = divide_by_lots(links, world["closeouts"])
    run = tried.groupby("owner")[["filled", "due"]].sum()
    for owner in owners:
        twin = world  # who is not closed out is not missed
        if owner in run.index:
            twin = base.simulate_frames(
                until, nudge, rescues=(*case.config.rescues, rescue_owner(case, owner))
            )
        other = _select_closeouts(case, twin, scale).query("owner != @owner")
        fewer = (
            run.drop(owner, errors="ignore").sum() - other[["filled", "due"]].sum()
        ) / scale.notional
        gone = (
            case.direction
            * (find_extreme_mark(case, world) - find_extreme_mark(case, twin))
            / scale.mark_move
        )
        found = dict(zip(REMOVAL_COLUMNS, (fewer["due"], fewer["filled"], gone), strict=True))
        claims = (
            _measure_claims(case, links, tried, owner),
            _measure_claims(case, lots, tried, owner),
        )
        yield {"owner": owner} | found | _scale_claims(scale, *claims)


def _select_closeouts(case: Cascade, frames: Frames, scale: CascadeScale) -> pd.DataFrame:
    """Close-outs of a cascade's window, at the run's prices: owner, action, ``filled``, and ``due``.

    Due is what an account had to close: what was filled, and what its last close-out was left with.
    """
    closed = frames["closeouts"]
    here = closed[closed["step"].between(*case.window)]
    price = scale.prices.reindex(here["instrument"].astype(str)).fillna(0.0).to_numpy()
    last = ~here.duplicated(["pool", "owner", "instrument"], keep="last")
    due = here["filled"] + (here["planned"].abs() - here["filled"]).where(last, 0)
    return here[["owner", "action"]].assign(filled=here["filled"] * price, due=due * price)


class _AttributionClaims(NamedTuple):
    """What passed through an owner: of others, what was due and what was filled; the mark's way, own sale included."""

    due: float
    filled: float
    mark_move: float


def _measure_claims(
    case: Cascade, links: ContagionLinks, tried: pd.DataFrame, owner: int
) -> _AttributionClaims:
    actions = links.actions
    rows = np.flatnonzero(actions["step"].between(*case.window) & (actions["owner"] == owner))
    filled: F8 = (
        tried.groupby("action")["filled"].sum().reindex(actions["action"]).fillna(0.0).to_numpy()
    )
    sums = tried.groupby("owner")[["filled", "due"]].sum().query("filled > 0")
    due: F8 = (
        filled * (sums["due"] / sums["filled"]).reindex(actions["owner"]).fillna(0.0).to_numpy()
    )
    of_it = (links.moves["instrument"] == case.instrument) & links.moves["step"].between(
        *case.window
    )
    way = (
        case.direction
        * links.moves["move"].where(of_it, 0.0).to_numpy()
        @ (links.move_by_action @ compute_passed_share(links, rows))
    )
    share = measure_passed_harm(links, rows)
    return _AttributionClaims(float(share @ due), float(share @ filled), float(way))


def _scale_claims(
    scale: CascadeScale, by_mark: _AttributionClaims, by_lots: _AttributionClaims
) -> dict[str, float]:
    """Claims of the cascade's, moves divided by who moved the mark (LIQ-8) and by lots."""
    found = {"pushed": by_mark.due, "attributed": by_mark.filled, "pushed_lots": by_lots.due}
    ways = {"carried": by_mark.mark_move, "carried_lots": by_lots.mark_move}
    return {name: value / scale.notional for name, value in found.items()} | {
        name: value / scale.mark_move for name, value in ways.items()
    }
