"""Wrong-way add-on: a charge on collateral that falls together with the positions it secures."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin import leg_values
from sim.margin.addons.addon import AddOn
from sim.margin.valuations.collateral import value_collateral
from sim.types import F8, Exposure


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
            name = contracts.underlyings[underlying] if contracts.underlyings else ""
            follow = [
                number
                for number, asset in enumerate(contracts.assets)
                if self.correlated_assets.get(asset) == name
            ]
            collateral = spot[:, same].sum(axis=1) + assets[:, follow].sum(axis=1)
            twice = np.minimum(np.maximum(margined[:, same].sum(axis=1), 0.0), collateral)
            size = np.abs(margined[:, same])
            required[:, same] = (
                self.share * twice[:, None] * leg_values.normalise_shares(size, size)
            )
        return required
