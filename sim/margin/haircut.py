"""A basket of collateral with a static haircut on each part."""

from typing import Literal, Self

from pydantic import Field, model_validator

from sim.margin.base import ValuationComponent
from sim.margin.collateral import by_name, held
from sim.types import F8, Contracts, Exposure, Margins


class Haircut(ValuationComponent):
    """Of each asset and spot position, share x value is disallowed; initial and maintenance may differ.

    What is owed counts in full. Shares are by name of asset or spot instrument; where initial shares are not given they
    are those of maintenance (Derive adds its initial haircut to maintenance's: give the sum).
    """

    kind: Literal["haircut"] = Field(default="haircut", description="static haircuts (name)")
    maintenance: dict[str, float] = Field(default={}, description="disallowed to keep positions (name: share)")
    initial: dict[str, float] = Field(
        default={}, description="disallowed to open; not given = as for maintenance (name: share)"
    )
    other: float = Field(default=1.0, ge=0, le=1, description="disallowed of what is not named (share)")

    @model_validator(mode="after")
    def _shares_are_shares(self) -> Self:
        for where, shares in (("maintenance", self.maintenance), ("initial", self.initial)):
            for name, share in shares.items():
                if not 0 <= share <= 1:
                    raise ValueError(f"{where}.{name}: {share:g} is not between 0 and 1, give a share")
        for name, share in self.initial.items():
            kept = self.maintenance.get(name, self.other)
            if share < kept and name not in self.maintenance:
                told = f"initial.{name}: {share:g} is below the {kept:g} of other, which is its share to keep"
                raise ValueError(f"{told}: add maintenance.{name}")
            if share < kept:
                raise ValueError(f"initial.{name}: {share:g} is below the {kept:g} of maintenance, raise it")
        return self

    def names(self) -> frozenset[str]:
        """What haircuts are given for."""
        return frozenset(self.maintenance) | frozenset(self.initial)

    def adds_up(self, contracts: Contracts) -> bool:
        """Return True: spot positions are cut one by one."""
        return True

    def spot_by_leg(self, book: Exposure) -> F8:
        """See :class:`ValuationComponent`."""
        _, of_spot = by_name(book.market.contracts, self.maintenance | self.initial, self.other)
        cut: F8 = held(book)[1] * of_spot
        return cut

    def haircuts(self, book: Exposure) -> Margins:
        """See :class:`ValuationComponent`."""
        assets, spot = held(book)
        disallowed = []
        for shares in (self.maintenance | self.initial, self.maintenance):
            of_assets, of_spot = by_name(book.market.contracts, shares, self.other)
            disallowed.append(assets @ of_assets + spot @ of_spot)
        return Margins(*disallowed)
