"""Whole books of makers: how inventory in one instrument bears on quotes in another (AGT-2)."""

from typing import NamedTuple

import numpy as np
from pydantic import Field

from agents.base import DAY, TradingScope
from agents.compiled import maker_books as kernels
from agents.compiled.ladders import QuoteArrays
from sim.compiled.arrays import StepArrays
from sim.component import Component
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.types import F8, I8, MISSING, MarketSpec, Observation


class MakerBook(Component):
    """Links between the instruments that a maker quotes, beside its capital, which is one anyway.

    With a shared reservation the price of instrument i shifts by the risk of the whole inventory.
    An investor with constant absolute risk aversion gamma who holds q until tau values one more
    unit of i at s_i - gamma tau sum_j sigma_ij q_j, less (as a buyer) or plus (as a seller) half
    of gamma tau sigma_ii. This is the argument of Avellaneda and Stoikov (2008) for one asset,
    with a covariance matrix; models of makers in several assets are in Gueant (2016, arXiv
    1605.01862) and Bergault et al. (2021, Applied Mathematical Finance 28(2), 101-142). Since
    sigma_ij = rho_ij sigma_i sigma_j, the shift is the one for a single asset with the inventory
    sum_j rho_ij (sigma_j / sigma_i) q_j, the position in i that hedges the book. All ladders use
    this sum for their own shift. Volatilities are the venue's. Correlations are the makers' own
    and not those of a margin engine: the market's configured ones, or a given one, and with
    ``half_life`` an estimate from the oracle's returns that starts there.

    With a shared limit, ``max_inventory`` bounds the gross value of the whole book. A side that
    adds has the room that all instruments leave.
    """

    has_shared_reservation: bool = Field(
        True, description="whether the risk of the whole inventory shifts prices (yes or no)"
    )
    has_shared_limit: bool = Field(
        True, description="whether max_inventory bounds the whole inventory (yes or no)"
    )
    correlation: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="correlation of any two underlyings, none = the market's configured ones (1)",
    )
    half_life: float | None = Field(
        DAY / 4,
        gt=0,
        description="half-life of own estimates of correlations, none = they stay (seconds)",
    )

    def start(self, spec: MarketSpec, scope: TradingScope) -> "BookCorrelations":
        """Return the correlations of the instruments of a population, before the first step."""
        underlying = spec.contracts.underlying[scope.instruments]
        size = len(spec.underlyings)
        configured = spec.correlation if spec.correlation.size else np.eye(size)
        if self.correlation is not None:
            configured = np.full((size, size), self.correlation)
        prior = configured[underlying[:, None], underlying]
        prior[underlying[:, None] == underlying] = 1.0
        count = underlying.size
        return BookCorrelations(
            prior=prior,
            decay=1.0 if self.half_life is None else float(0.5 ** (spec.dt / self.half_life)),
            updated=np.full(1, MISSING),
            weight=np.full(1, -1.0),
            log_prices=np.zeros(count),
            products=np.zeros((count, count)),
            correlation=prior.copy(),
        )

    def observe(
        self, found: "BookCorrelations", scope: TradingScope, observation: Observation
    ) -> None:
        """Update the estimate of correlations, once a tick."""
        if self.half_life is not None:
            view, columns = scope.view(observation)
            prices = view.oracle[view.contracts.underlying[columns]]
            kernels.track_correlations(observation.tick, prices, np.arange(prices.size), *found)

    def link(self, found: "BookCorrelations", vol: F8, inventory: F8) -> tuple[F8, F8]:
        """Return the inventories that shift prices, and gross inventories elsewhere, (r, m).

        Args:
            found: correlations.
            vol: (m,) annualised volatilities.
            inventory: (r, m) shares of the largest position.
        """
        lean, elsewhere = np.empty((2, *inventory.shape))
        kernels.link_inventories(
            0, np.array([len(inventory)]), vol, *self._list_rules(found), inventory, lean, elsewhere
        )
        return lean, elsewhere

    def bind_links(
        self, found: "BookCorrelations", step: StepArrays, scope: TradingScope, quotes: QuoteArrays
    ) -> list[BoundKernel]:
        """Return the kernels of ``observe`` and ``link``."""
        link = bind_kernel(
            kernels.link_inventories,
            quotes.n_rows,
            quotes.vol,
            *self._list_rules(found),
            quotes.inventory,
            quotes.lean,
            quotes.elsewhere,
        )
        if self.half_life is None:
            return [link]
        underlying: I8 = step.market.contracts.underlying[scope.instruments]
        oracle = step.oracle[scope.venue]
        return [bind_kernel(kernels.track_correlations, oracle, underlying, *found), link]

    def _list_rules(self, found: "BookCorrelations") -> tuple[F8, int, int]:
        return found.correlation, int(self.has_shared_limit), int(self.has_shared_reservation)


class BookCorrelations(NamedTuple):
    """Correlations of the m instruments that makers quote, and their estimate, in place."""

    prior: F8  # (m, m)
    decay: float  # of the weights, per step
    updated: I8  # (1,) tick of the last update
    weight: F8  # (1,) sum of the weights of all returns; negative = no price yet
    log_prices: F8  # (m,)
    products: F8  # (m, m) weighted products of returns
    correlation: F8  # (m, m) present ones
