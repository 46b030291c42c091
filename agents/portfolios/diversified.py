"""Diversified traders: one leveraged book over several underlyings (AGT-10)."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import Trader, draw_lognormal
from agents.compiled.leveraged import DecisionArrays
from agents.compiled.portfolios.books import FIRST_LEG, weigh_views
from agents.portfolios.books import BookPopulation, BookTrader
from sim.compiled.arrays import StepArrays
from sim.errors import ConfigError
from sim.numerics.bound_kernels import BoundKernel
from sim.types import F8, I8, MarketSpec, Observation

MAX_LEGS = 12
"""Most instruments of a book, which have draws of their own (RNG-1)."""

FIRST_SHARE = 3
"""Column of the first trait draw of shares."""


class DiversifiedTrader(BookTrader):
    """A member of a population of diversified traders."""


class DiversifiedTraders(BookPopulation):
    """Directional traders who spread one view, or several, over all instruments they trade.

    Each member has lognormal shares of the instruments, which it keeps. A book is long or short in
    all of them; a book of mixed views draws the side of each instrument. Weights are restored
    slowly: Calvet, Campbell and Sodini (2009, Quarterly Journal of Economics 124(1)) find that
    households offset about half of a passive drift within a year.
    """

    agent_class: ClassVar[type[Trader]] = DiversifiedTrader
    n_trait_draws: ClassVar[int] = FIRST_SHARE + MAX_LEGS
    n_decision_draws: ClassVar[int] = FIRST_LEG + MAX_LEGS

    kind: Literal["diversified"] = "diversified"
    name: str = Field(
        "diversified",
        min_length=1,
        description="name of the population, unique in the market (text)",
    )
    long_share: float = Field(
        0.5, ge=0, le=1, description="probability that a book, or a leg, is long (probability)"
    )
    mixed_share: float = Field(
        0.3,
        ge=0,
        le=1,
        description="probability that each leg of a book has a side of its own (probability)",
    )
    share_sigma: float = Field(
        0.5, ge=0, le=4, description="standard deviation of the log shares of instruments (1)"
    )

    _shares: F8 = PrivateAttr()  # (n, m) of each instrument in a member's book

    def start(self, spec: MarketSpec, draws: F8) -> I8:
        """Draw traits; see ``sim.protocols.PopulationProtocol``.

        Raises:
            ConfigError: they trade more instruments than there are draws for.
        """
        placed = super().start(spec, draws)
        legs = self._members.scope.instruments.size
        if legs > MAX_LEGS:
            raise ConfigError(
                [
                    f"{self.name}.instruments: {legs} are more than the {MAX_LEGS} that a book may "
                    "hold, name fewer"
                ]
            )
        drawn = draw_lognormal(draws[:, FIRST_SHARE : FIRST_SHARE + legs], 1.0, self.share_sigma)
        self._shares = np.ascontiguousarray(drawn / drawn.sum(axis=1, keepdims=True))
        return placed

    def _signals(self, rows: I8, columns: I8, observation: Observation, draws: F8) -> F8:
        return np.where(draws < self.long_share, 1.0, -1.0) * self._members.target_leverage[rows]

    def _weigh_books(self, arrays: DecisionArrays, draws: F8) -> None:
        weigh_views(
            0,
            float(self.mixed_share),
            float(self.long_share),
            self._shares,
            draws,
            arrays.n_entries,
            arrays.rows,
            arrays.signal,
            self._books.weights,
        )

    def bind_decision(self, step: StepArrays, members: slice) -> BoundKernel | None:
        """See :class:`sim.compiled.components.CompiledPopulation`."""
        binding = self._begin_binding(step, members)
        binding.common.arrays.hazard[:] = self._members.entry_probability
        views = (float(self.mixed_share), float(self.long_share))
        signals = [
            binding.common.draw_sides(self.long_share, self._members.target_leverage),
            binding.weigh_views(*views, self._shares),
        ]
        return self._bind_books(binding, signals=signals)
