"""Equal capital efficiency: the compression that makes two engines tie up equal capital (MAR-2)."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from sim.errors import ConfigError
from sim.margin.engine import EngineConfig
from sim.types import F8, Exposure


class EngineCapital(NamedTuple):
    """Capital that an engine ties up in a reference portfolio, shares of its gross notional."""

    margin: float  # m: initial margin of the requirement
    haircut: float  # h: haircut for initial margin

    @property
    def total(self) -> float:
        """Margin plus haircut, m + h."""
        return self.margin + self.haircut


class AccountCapital(NamedTuple):
    """Capital that an engine ties up in each account, minor units of the numeraire."""

    margin: F8  # (A,) initial margin of the requirement, summed over pools
    haircut: F8  # (A,) haircut for initial margin


def measure_account_capital(
    engine: EngineConfig, snapshots: Sequence[Exposure], unit: int
) -> Iterator[AccountCapital]:
    """Yield the capital that an engine ties up in every account, one snapshot after another.

    Requirements observe the market of each snapshot first.

    Args:
        engine: netting, valuation, requirement.
        snapshots: snapshots of one venue's accounts over all of its instruments.
        unit: minor units in one unit of the numeraire.

    Raises:
        ConfigError: the instruments of a pool are not adjacent.
    """
    contracts = snapshots[0].market.contracts
    parts = [_pool_slice(pool) for pool in engine.build_pools(contracts)]
    bound = [engine.bind(contracts.select_instruments(part), unit) for part in parts]
    for accounts in snapshots:
        initial = np.zeros(len(accounts.position))
        for part, requirement in zip(parts, bound, strict=True):
            mine = _slice_accounts(accounts, part)
            requirement.observe(mine.market)
            initial += requirement.compute_margins(mine).initial
        yield AccountCapital(initial, engine.valuation.compute_haircuts(accounts).initial)


def measure_capital(
    engine: EngineConfig, snapshots: Sequence[Exposure], unit: int
) -> EngineCapital:
    """Return the capital of an engine in a reference portfolio, summed over accounts and snapshots.

    m = Σ initial margin of the requirement in the engine's pools ÷ Σ gross notional. h = Σ haircut
    of the valuation ÷ Σ gross notional.

    Raises:
        ConfigError: the instruments of a pool are not adjacent, or no account holds a position.
    """
    gross = sum(float(np.abs(accounts.position_value()).sum()) for accounts in snapshots)
    if gross == 0:
        raise ConfigError(
            [
                "reference portfolio: no account holds a position, "
                "take one of a market in which agents trade"
            ]
        )
    sums = [
        (float(each.margin.sum()), float(each.haircut.sum()))
        for each in measure_account_capital(engine, snapshots, unit)
    ]
    initial, disallowed = map(sum, zip(*sums, strict=True))
    return EngineCapital(initial / gross, disallowed / gross)


def solve_compression(measured: EngineCapital, target: float) -> float:
    """Return the κ at which an engine's capital equals the target: 1 - (target - h) / m.

    A negative κ raises margins.

    Raises:
        ConfigError: haircuts alone reach the target, which no compression changes, or no margin is
            required.
    """
    if target <= measured.haircut:
        raise ConfigError(
            [
                f"target: {target:g} of gross notional is not above the {measured.haircut:g} "
                "that haircuts take, raise it"
            ]
        )
    if measured.margin <= 0:
        raise ConfigError(
            [
                "requirement: requires nothing for the reference portfolio, "
                "so that no compression reaches a target: choose another"
            ]
        )
    return 1.0 - (target - measured.haircut) / measured.margin


def scale_to_equal_capital(
    engine: EngineConfig, snapshots: Sequence[Exposure], unit: int, target: float
) -> EngineConfig:
    """Return the engine scaled to tie up the target in this portfolio: closed form, no search."""
    factor = 1.0 - solve_compression(measure_capital(engine, snapshots, unit), target)
    return engine.model_copy(update={"margin_multiplier": factor * engine.margin_multiplier})


def _pool_slice(pool: list[int]) -> slice:
    if pool != list(range(pool[0], pool[-1] + 1)):
        raise ConfigError(
            [
                "reference portfolio: instruments of one pool must stand next to one another, "
                "list them so"
            ]
        )
    return slice(pool[0], pool[-1] + 1)


def _slice_accounts(accounts: Exposure, part: slice) -> Exposure:
    """Return a pool's columns of a venue's accounts."""
    return accounts._replace(
        position=accounts.position[:, part],
        bids=accounts.bids[:, part],
        asks=accounts.asks[:, part],
        reserved=accounts.reserved[:, part],
        entry=accounts.entry[:, part],
        leverage=accounts.leverage[:, part],
        market=accounts.market.select_instruments(part),
    )
