"""Margin in money per contract, as futures exchanges publish it."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.component import Component
from sim.margin import leg_values
from sim.margin.additive import AdditiveRequirement
from sim.margin.base import RequirementComponent, require_initial_covers_maintenance
from sim.margin.compiled import LearningArrays, LearningStep, MarginArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, SPOT, Contracts, Exposure, Margins, MarketView


class ContractAmounts(Component):
    """Margin of one contract."""

    initial: float = Field(
        ge=0, description="initial margin of one contract (units of the numeraire)"
    )
    maintenance: float = Field(
        ge=0, description="maintenance margin of one contract (units of the numeraire)"
    )
    size: float | None = Field(
        default=None,
        gt=0,
        description="units of the underlying in a contract, none = one lot (units)",
    )

    @model_validator(mode="after")
    def _check_initial_maintenance(self) -> Self:
        require_initial_covers_maintenance(self.initial, self.maintenance)
        return self


class PerContractRequirement(RequirementComponent):
    """Fixed amount of money for each contract, long or short, whatever its price.

    A part of a contract requires the same part of the amount. Initial is notional ÷ the leverage
    the account chose if that is more. Positions add up: no month and no commodity offsets another.
    Long spot requires nothing (LED-3). This is the form of exchanges' performance bonds and of
    brokers' tables. For example, one contract of 1,000 barrels has an initial margin of 12,000
    dollars and a maintenance margin of 10,900 dollars. The amounts change only when the exchange
    changes them, so give those of the day that is studied.
    """

    kind: Literal["per_contract"] = Field(
        default="per_contract", description="money per contract (name)"
    )
    initial: float = Field(
        ge=0,
        description=(
            "initial margin of one contract of every instrument without its own (units of "
            "the numeraire)"
        ),
    )
    maintenance: float = Field(
        ge=0, description="maintenance margin of one contract (units of the numeraire)"
    )
    size: float | None = Field(
        default=None,
        gt=0,
        description="units of the underlying in a contract, none = one lot (units)",
    )
    instruments: dict[str, ContractAmounts] = Field(
        default={}, description="amounts by instrument, for those that differ (name: amounts)"
    )

    @model_validator(mode="after")
    def _check_initial_maintenance(self) -> Self:
        require_initial_covers_maintenance(self.initial, self.maintenance)
        return self

    def mentioned_names(self) -> frozenset[str]:
        """Return the instruments with amounts of their own."""
        return frozenset(self.instruments)

    def bind(self, contracts: Contracts, unit: int) -> "PerContractMargin":
        """See :class:`RequirementComponent`."""
        common = ContractAmounts(initial=self.initial, maintenance=self.maintenance, size=self.size)
        table = np.zeros((2, len(contracts.names)))
        for column, name in enumerate(contracts.names):
            amounts = self.instruments.get(name, common)
            lot = float(contracts.lot[column])
            share = 1.0 if amounts.size is None else lot / amounts.size
            table[0, column] = amounts.initial * share * unit
            table[1, column] = amounts.maintenance * share * unit
        return PerContractMargin(table, contracts.kind == SPOT)


class PerContractMargin(AdditiveRequirement):
    """Amounts per lot of one pool's instruments.

    Args:
        table: initial and maintenance margin of one lot, (2, K) minor units of the numeraire.
        spot: True for spot instruments, (K,).
    """

    def __init__(self, table: F8, spot: B1) -> None:
        self.table, self.spot = table, spot

    def observe(self, market: MarketView) -> None:
        """Do nothing: the amounts are fixed."""

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return the sums over positions, (A,)."""
        maintenance = self._margined_lots(accounts) * self.table[1]
        return Margins(
            leg_values.sum_legs(self.initial_by_leg(accounts)), leg_values.sum_legs(maintenance)
        )

    def initial_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`AdditiveRequirement`."""
        chosen = leg_values.compute_margined_notional(accounts) / accounts.leverage
        return np.maximum(self._margined_lots(accounts) * self.table[0], chosen)

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...]:
        """See :class:`sim.margin.compiled.CompiledRequirement`."""
        columns = (
            arrays.n_accounts,
            arrays.position,
            arrays.leverage,
            arrays.lot_value,
            arrays.is_spot,
        )
        return (
            bind_kernel(charge_contracts, *columns, self.table, arrays.initial, arrays.maintenance),
        )

    def bind_leg_shares(self, arrays: MarginArrays, shares: F8) -> tuple[BoundKernel, ...]:
        """See :class:`sim.margin.compiled.CompiledLegShares`."""
        columns = (arrays.n_accounts, arrays.position, arrays.lot_value, arrays.is_spot)
        return (bind_kernel(share_contracts, *columns, self.table, shares),)

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...]:
        """Return no step: the amounts are fixed."""
        return ()

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return each leg's maintenance over the sum, (A, K).

        Shares are those of the notional where no maintenance is due.
        """
        return leg_values.normalise_shares(
            self._margined_lots(accounts) * self.table[1],
            leg_values.compute_gross_notional(accounts),
        )

    def _margined_lots(self, accounts: Exposure) -> F8:
        """Return the lots that require margin, (A, K): all but long spot."""
        return np.where(self.spot & (accounts.position > 0), 0, np.abs(accounts.position)).astype(
            np.float64
        )


@kernel
def charge_contracts(
    tick: int,
    count: I8,
    position: I8,
    leverage: F8,
    lot_value: F8,
    is_spot: B1,
    table: F8,
    initial: F8,
    maintenance: F8,
) -> int:
    """Write the margins of the accounts in use: see :class:`sim.margin.compiled.MarginArrays`."""
    accounts = count[0]
    initial[:accounts] = 0.0
    maintenance[:accounts] = 0.0
    for k in range(len(position)):
        for a in range(accounts):
            lots = position[k, a]
            margined = 0.0 if is_spot[k] and lots > 0 else float(abs(lots))
            notional = leg_values.value_margined_leg(lots, lot_value[k], is_spot[k])
            chosen = np.divide(notional, leverage[k, a])
            initial[a] += np.maximum(margined * table[0, k], chosen)
            maintenance[a] += margined * table[1, k]
    return 0


@kernel
def share_contracts(
    tick: int, count: I8, position: I8, lot_value: F8, is_spot: B1, table: F8, shares: F8
) -> int:
    """Write each leg's share of maintenance: see :class:`sim.margin.compiled.CompiledLegShares`."""
    for k in range(len(position)):
        for a in range(count[0]):
            lots = position[k, a]
            shares[k, a] = (0.0 if is_spot[k] and lots > 0 else float(abs(lots))) * table[1, k]
    leg_values.normalise_leg_shares(count[0], position, lot_value, shares)
    return 0
