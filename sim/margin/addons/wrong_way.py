"""Wrong-way add-on: a charge on collateral that falls together with the positions it secures."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin import leg_values
from sim.margin.addons.addon import AddOn
from sim.margin.compiled import MarginArrays
from sim.margin.quoted import QuoteHistory
from sim.margin.valuations.collateral import value_asset, value_collateral, value_spot
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, MISSING, Contracts, Exposure


class WrongWayAddOn(AddOn):
    """Charge on amounts that are exposed twice, because positions and collateral fall together.

    It is share x min(net long derivatives, collateral) on each underlying. The collateral on an
    underlying is the spot held on it, and the assets that ``follows`` names, such as a coin that
    secures long positions in itself. A short position is the opposite case: its collateral gains
    when it loses.
    """

    kind: Literal["wrong_way"] = Field(
        default="wrong_way", description="add-on for correlated collateral (name)"
    )
    share: float = Field(
        default=0.2, ge=0, le=1, description="charge on the amount that is exposed twice (share)"
    )
    correlated_assets: dict[str, str] = Field(
        default={}, description="underlying whose price an asset follows (name: name)"
    )

    def charge_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`AddOn`."""
        contracts = accounts.market.contracts
        assets, spot = value_collateral(accounts)
        margined = np.where(
            leg_values.compute_margined_notional(accounts) > 0, accounts.position_value(), 0.0
        )
        required = np.zeros(accounts.position.shape)
        for underlying in np.unique(contracts.underlying):
            same = contracts.underlying == underlying
            follow = self._find_followers(contracts) == underlying
            collateral = leg_values.sum_legs(spot[:, same]) + leg_values.sum_legs(assets[:, follow])
            exposed = np.maximum(leg_values.sum_legs(margined[:, same]), 0.0)
            twice = np.minimum(exposed, collateral)
            size = np.abs(margined[:, same])
            required[:, same] = (
                self.share * twice[:, None] * leg_values.normalise_shares(size, size)
            )
        return required

    def _find_followers(self, contracts: Contracts) -> I8:
        """Return the underlying whose price each asset follows, (C,), MISSING for none."""
        names = contracts.underlyings
        return np.array(
            [
                names.index(name)
                if (name := self.correlated_assets.get(asset)) in names
                else MISSING
                for asset in contracts.assets
            ],
            dtype=np.int64,
        )

    def bind_charges(self, arrays: MarginArrays, history: QuoteHistory, charges: F8) -> BoundKernel:
        """See :class:`AddOn`."""
        contracts = arrays.market.contracts
        accounts = (
            arrays.n_accounts,
            arrays.position,
            arrays.balance,
            arrays.pool,
            arrays.lot_value,
        )
        terms = (arrays.is_spot, arrays.settle, arrays.price, contracts.underlying)
        rule = (self._find_followers(contracts), float(self.share))
        return bind_kernel(charge_double_exposure, *accounts, *terms, *rule, charges)


@kernel
def charge_double_exposure(
    tick: int,
    count: I8,
    position: I8,
    balance: I8,
    pool: int,
    lot_value: F8,
    is_spot: B1,
    settle: I8,
    price: F8,
    underlying: I8,
    follows: I8,
    share: float,
    charges: F8,
) -> int:
    """Write the charge on each leg of the accounts in use for amounts that are exposed twice."""
    holdings = (position, balance, pool, lot_value, is_spot, settle, price)
    n_underlyings = underlying.max() + 1
    spot, assets, exposed, size = np.zeros((4, n_underlyings))
    for a in range(count[0]):
        spot[:], assets[:], exposed[:], size[:] = 0.0, 0.0, 0.0, 0.0
        for k in range(len(position)):
            u, lots = underlying[k], position[k, a]
            value = 0.0 if is_spot[k] and lots > 0 else lots * lot_value[k]
            spot[u] += value_spot(k, a, position, lot_value, is_spot)
            exposed[u] += value
            size[u] += abs(value)
        for asset in range(follows.size):
            if 0 <= follows[asset] < n_underlyings:
                assets[follows[asset]] += max(value_asset(asset, a, *holdings), 0.0)
        for k in range(len(position)):
            u, lots = underlying[k], position[k, a]
            twice = np.minimum(np.maximum(exposed[u], 0.0), spot[u] + assets[u])
            value = 0.0 if is_spot[k] and lots > 0 else abs(lots * lot_value[k])
            charges[k, a] = share * twice * (value / (size[u] if size[u] > 0 else 1.0))
    return 0
