"""Comparison of attribution with counterfactual removal of each large owner (LIQ-8, LIQ-9).

Attribution measures how much of a cascade passed through an owner. A counterfactual run without its
close-outs measures how much does not happen then. In one run this is a whole number of accounts,
which a single tick may change. Both are therefore averaged over neighbouring worlds: the same
market before the cascade, with small random shifts of each account's equity. Owners whose effect is
not significant are simulated in more worlds.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.cascades.branching import MarketSnapshot
from experiments.cascades.counterfactual_runs import find_extreme_mark, rescue_owner
from experiments.cascades.one_cascade import Cascade, format_owner, measure_passed_harm
from sim.metrics.cascades import Frames
from sim.metrics.contagion import ContagionLinks, build_contagion, divide_by_lots
from sim.metrics.generations import compute_passed_share
from sim.types import B1, F8

MIN_SHARE = 0.01
"""Smallest share of a cascade's notional for which an owner is compared."""

MAX_EQUITY_SHIFT = 0.002
"""Default largest shift of an account's equity in neighbouring worlds, over its notional."""

MAX_WORLDS_FACTOR = 4
"""Largest factor on the number of worlds, for undecided owners."""

SIGNIFICANCE_LEVEL = 0.05
"""Probability that an interval misses the mean, over all interim looks at one owner."""

ROUNDING_DUST = 1e-9
"""Shares below this value are rounding errors."""

REMOVAL_COLUMNS = ("spared", "prevented", "returned")
"""Columns of the effects of removal."""


class NeighbouringWorlds(NamedTuple):
    """Number of neighbouring worlds, and their differences; the first world is the run."""

    n_least: int
    n_most: int
    max_shift: float = MAX_EQUITY_SHIFT  # of an account's equity, over its notional

    @property
    def interim_looks(self) -> list[int]:
        """Numbers of worlds after which owners are tested: the least, doubled up to the most."""
        found = [self.n_least]
        while 2 * found[-1] <= self.n_most:
            found.append(2 * found[-1])
        return found


class CascadeScale(NamedTuple):
    """Denominators of the shares of a cascade."""

    # notional of a lot by instrument, mean of the run, so that a higher price is not a larger sale
    prices: "pd.Series[float]"
    notional: float  # notional of the cascade
    mark_move: float  # move of the mark, from before the cascade to its farthest value


def compare_with_removal(
    case: Cascade, base: MarketSnapshot, worlds: NeighbouringWorlds
) -> pd.DataFrame:
    """Compare attribution and removal of each owner with at least a hundredth of a cascade.

    Args:
        case: the cascade.
        base: snapshot of the run before the cascade.
        worlds: number of neighbouring worlds.

    Returns:
        Rows of owners, the largest first, with ``owner``, ``name`` and ``worlds``. ``size`` is the
        owner's share of the cascade's notional. ``unmet``, the same for all, is the share of the
        required close-outs in the cascade's steps that found no counterparty at their limit.

        The other columns are means over worlds, of attribution and of removal in pairs, as shares
        of the cascade. ``pushed`` is what others had to close because of harm that passed through
        the owner. ``spared`` is what they need not close without it, filled or not.
        ``attributed`` and ``prevented`` are the same of what was filled. ``carried`` is the move
        of the mark by the owner and the accounts it affected. ``returned`` is the part of the
        move that is absent without it. Claims can exceed the whole, because a mark that recovers
        in between moves farther in total than from start to end. ``pushed_lots`` and
        ``carried_lots`` are claims with moves divided by lots. ``*_reach`` is half the width of
        each interval of removal.
    """
    owned = case.actions.groupby("owner")["notional"].sum() / case.actions["notional"].sum()
    owned = owned[owned >= MIN_SHARE].sort_values(ascending=False, kind="stable").rename("size")
    scale = _measure_scale(case)
    table = _simulate_until_decided(case, base, worlds, (scale, owned.index.tolist()))
    first_actions = case.actions.drop_duplicates("owner").set_index("owner", drop=False)
    names = first_actions.apply(format_owner, axis=1).rename("name")
    run = _select_closeouts(case, case.frames, scale)
    unmet = max(1.0 - run["filled"].sum() / run["due"].sum(), 0.0)
    joined = pd.concat([owned, table], axis=1).join(names)
    return joined.reset_index(names="owner").assign(unmet=unmet)


def _simulate_until_decided(
    case: Cascade,
    base: MarketSnapshot,
    worlds: NeighbouringWorlds,
    compared: tuple[CascadeScale, list[int]],
) -> pd.DataFrame:
    """Return means over worlds, with more worlds for owners without a significant effect.

    Args:
        case: the cascade.
        base: snapshot of the run before the cascade.
        worlds: number of neighbouring worlds.
        compared: denominators of shares, and the owners to compare.
    """
    scale, undecided = compared
    rows: list[dict[str, float]] = []
    done = 0
    for until in worlds.interim_looks:
        for number in range(done, until):
            shifts = _draw_shifts(base, number, worlds.max_shift)
            rows += _simulate_world(case, base, shifts, scale, undecided)
        table, done = _average_worlds(pd.DataFrame(rows), len(worlds.interim_looks)), until
        decided = np.all([find_decided_rows(table, name) for name in REMOVAL_COLUMNS], axis=0)
        undecided = [owner for owner in undecided if owner not in table.index[decided]]
        if not undecided:
            break
    return table


def _draw_shifts(base: MarketSnapshot, number: int, max_shift: float) -> F8:
    """Return the shift of each owner's equity in a world; zero in the first world, the run."""
    n_owners = base.restore_market().state.n_owners
    shifts = np.random.default_rng(number).uniform(-max_shift, max_shift, n_owners)
    return shifts if number else np.zeros_like(shifts)


def find_decided_rows(table: pd.DataFrame, found: str) -> B1:
    """Return the rows whose mean effect of removal is significant.

    Its interval does not cover zero. An effect of zero in every world is not significant.
    """
    mean, reach = (table[name].to_numpy(np.float64) for name in (found, f"{found}_reach"))
    # sums of the same amounts in another order may differ by rounding
    return (np.abs(mean) > reach) & (np.abs(mean) > ROUNDING_DUST)


def _average_worlds(rows: pd.DataFrame, looks: int) -> pd.DataFrame:
    """Return means over worlds of each owner, with Student's intervals.

    The intervals hold for all interim looks together (Bonferroni).
    """
    from scipy import stats

    grouped = rows.groupby("owner")
    count = grouped.size().rename("worlds")
    quantile = stats.t.ppf(1 - SIGNIFICANCE_LEVEL / 2 / looks, count - 1)
    reach = grouped[list(REMOVAL_COLUMNS)].sem().mul(quantile, axis=0)
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
    """Yield the attribution and the effect of removal of each owner in one world."""
    until = case.window[1]
    world = base.simulate_frames(until, nudge)
    tried, links = _select_closeouts(case, world, scale), build_contagion(world)
    lots = divide_by_lots(links, world["closeouts"])
    run = tried.groupby("owner")[["filled", "due"]].sum()
    for owner in owners:
        twin = world  # removal of an owner without close-outs has no effect
        if owner in run.index:
            twin = base.simulate_frames(
                until, nudge, rescues=(*case.config.rescues, rescue_owner(case, owner))
            )
        other = _select_closeouts(case, twin, scale).query("owner != @owner")
        others = run.drop(owner, errors="ignore").sum()
        fewer = (others - other[["filled", "due"]].sum()) / scale.notional
        shorter = find_extreme_mark(case, world) - find_extreme_mark(case, twin)
        returned = case.direction * shorter / scale.mark_move
        found = dict(zip(REMOVAL_COLUMNS, (fewer["due"], fewer["filled"], returned), strict=True))
        claims = (
            _measure_claims(case, links, tried, owner),
            _measure_claims(case, lots, tried, owner),
        )
        yield {"owner": owner} | found | _scale_claims(scale, *claims)


def _select_closeouts(case: Cascade, frames: Frames, scale: CascadeScale) -> pd.DataFrame:
    """Return close-outs of a cascade's window at the run's mean prices.

    Columns are owner, action, ``filled`` and ``due``. Due is the amount that an account had to
    close: the filled part, and the unfilled part of its last close-out.
    """
    closed = frames["closeouts"]
    here = closed[closed["step"].between(*case.window)]
    price = scale.prices.reindex(here["instrument"].astype(str)).fillna(0.0).to_numpy()
    last = ~here.duplicated(["pool", "owner", "instrument"], keep="last")
    due = here["filled"] + (here["planned"].abs() - here["filled"]).where(last, 0)
    return here[["owner", "action"]].assign(filled=here["filled"] * price, due=due * price)


class _AttributionClaims(NamedTuple):
    """Attribution to an owner: close-outs of others, due and filled, and the move of the mark.

    The move includes that of its own sales.
    """

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
    """Return claims as shares of the cascade, with moves divided by mark (LIQ-8) and by lots."""
    found = {"pushed": by_mark.due, "attributed": by_mark.filled, "pushed_lots": by_lots.due}
    ways = {"carried": by_mark.mark_move, "carried_lots": by_lots.mark_move}
    return {name: value / scale.notional for name, value in found.items()} | {
        name: value / scale.mark_move for name, value in ways.items()
    }
