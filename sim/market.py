"""One market: builds the parts and knows the order of a step, nothing else."""

import warnings
from collections.abc import Callable, Mapping, Sequence

import mesa
import numpy as np

from sim.attribution import CauseLog, Moment
from sim.build import Parts, assemble
from sim.config import MarketConfig
from sim.errors import DeleverageError, LearningWarning, not_one_of
from sim.numerics.rng import Streams
from sim.prices.bars import Bars
from sim.prices.impact import Impacts
from sim.protocols import Population
from sim.recording.recorder import Recorder
from sim.rescue import rescue, rescued
from sim.step import cash_flows, liquidation, loss_waterfall, opening, orders
from sim.types import F8, I8, NOBODY, AccountView, Outlook, Risk
from sim.venue import Venue

Populate = Callable[["Market"], Sequence[Population]]


class Market(mesa.Model):  # type: ignore[misc]  # mesa ships no types
    """Agents trading on venues whose margin engines can be swapped.

    Args:
        config: the market's rules; left as it is.
        populate: makes the participants (see ``agents.populate``).
        seed: root seed of every stream (RNG-1).
        bars: daily bars by source, for underlyings that replay.
    """

    def __init__(
        self, config: MarketConfig, populate: Populate, *, seed: int, bars: Mapping[str, Bars] | None = None
    ) -> None:
        super().__init__(rng=int(np.random.SeedSequence([seed, 0]).generate_state(1, np.uint64)[0]))
        self.config = config.model_copy(deep=True)
        self.streams = Streams(seed)
        self.tick = 0
        self.next_closeout = 0
        parts: Parts = assemble(self.config, self.streams, bars or {}, lambda: populate(self))
        self.path, self.contracts, self.venues = parts.path, parts.contracts, parts.venues
        self.populations, self.members, self.outside = parts.populations, parts.members, parts.outside
        self.books, self.ledger, self.watched = parts.books, parts.ledger, parts.watched
        self.max_lots = parts.max_lots
        self.owners = self.watched.size
        self.retired = np.zeros(self.outside, dtype=np.bool_)  # participants who were removed
        self.steps_planned = len(self.path.x) - 1
        self.impacts = Impacts.of([underlying.impact for underlying in self.config.underlyings], self.config.dt)
        self.impact = np.zeros(len(self.config.underlyings))
        self.spot_held = self.ledger.position[:, self.outside].copy()  # what the outside had when last asked (IDX-2)
        fee = np.array([max(venue.config.fees.taker, venue.config.fees.maker) for venue in self.venues])
        self.fee = fee[self.contracts.venue]
        self.bands = np.ones((len(self.contracts.names), 2), dtype=np.int64)
        self.rounds = 0
        states = [state for venue in self.venues for state in venue.states.values()]
        self.causes = {state.pool.number: CauseLog(state.pool, self.watched, state.engine) for state in states}
        self.recorder = Recorder(self)
        for venue in self.venues:
            if told := venue.config.engine.unlearnt(self.steps_planned * self.config.dt, self.config.dt):
                warnings.warn(f"venues.{venue.number}.engine: {told}", LearningWarning, stacklevel=2)
        opening.open_market(self)
        self.recorder.opening()

    def step(self) -> None:
        """Advance the market by one step.

        Raises:
            DeleverageError: the exogenous path ends here; after its last step ``running`` is False.
        """
        if self.tick == self.steps_planned:
            raise DeleverageError(f"step: the run of {self.tick} steps is over; give a longer duration")
        self.tick += 1
        opening.advance_index(self)
        cash_flows.exchange(self)
        orders.match(self, *orders.admit_orders(self, *orders.collect_orders(self)))
        orders.mark_to_market(self)
        self.rounds = liquidation.liquidate(self)
        loss_waterfall.allocate_losses(self)
        self.recorder.record()
        self.running = self.tick < self.steps_planned

    def assess(self, number: int = NOBODY) -> None:
        """Every account's verdict, at every venue, and its causes (MAR-1, LIQ-6).

        Args:
            number: the liquidation round just made; NOBODY = none yet, the index and the market have moved.
        """
        saved = rescued(self) if self.config.rescues else None
        for venue in self.venues:
            moment = Moment(self.tick, number, venue.stages if number == NOBODY else dict)
            for state in venue.states.values():
                book = venue.book(state.pool)
                risk = state.engine.assess(book)
                for column in risk:
                    column[self.outside :] = 0.0  # rows of venues and the outside are not judged
                if saved is not None:
                    rescue(self, venue, state, risk, saved)
                state.risk = risk
                if not self.config.suppress_closeouts:  # nobody asks, and who is under water stays there
                    self.causes[state.pool.number].trace(book, risk.excess, moment, self.ledger.journal)
        self.ledger.journal.clear()

    def worth(self) -> F8:
        """Minor units of the numeraire per tick and lot of each instrument, (K,), at today's asset prices."""
        price = self.venues[0].view.price
        return self.contracts.multiplier * price[self.contracts.settle]

    def spot(self) -> F8:
        """The index of each underlying, impact included, (U,) quote currency (IDX-1, IDX-2)."""
        index: F8 = np.exp(self.path.x[self.tick] + self.impact)
        return index

    def outlook(self) -> Outlook:
        """What every agent may know."""
        leverage = np.concatenate([venue.leverage for venue in self.venues])
        liquidity = float(self.path.liquidity[self.tick])
        views = tuple(venue.view for venue in self.venues)
        first = tuple(venue.part.start for venue in self.venues)
        return Outlook(self.tick, self.config.dt, self.spot(), liquidity, views, first, leverage)

    def accounts(self, members: slice) -> AccountView:
        """What some owners know of themselves."""
        means = np.empty((2, len(self.venues), members.stop - members.start))
        for venue in self.venues:
            means[0, venue.number], means[1, venue.number] = venue.equity(members), venue.free(members)
        equity, free = means.transpose(0, 2, 1)
        wallet = self.ledger.balance[:, [venue.wallet for venue in self.venues], members].transpose(2, 1, 0)
        return AccountView(self.ledger.position[:, members].T, self.ledger.entry[:, members].T, free, equity, wallet)

    def standing(self, members: slice) -> Risk:
        """The last verdict on the account that margins each instrument of some owners, (n, K)."""
        verdict = np.empty((3, len(self.contracts.names), members.stop - members.start))
        for venue in self.venues:
            for state in venue.states.values():
                for column, amounts in zip(verdict, state.risk, strict=True):
                    column[state.pool.instruments] = amounts[members]
        return Risk(*verdict.transpose(0, 2, 1))

    def retire(self, owner: int) -> None:
        """Take a participant out of the market: its resting orders are cancelled, and it decides no more.

        Its cash stays where it is, and the draws and decisions of others stay as they are.

        Args:
            owner: a participant that holds nothing.

        Raises:
            DeleverageError: it holds a position, or it is an insurance fund.
        """
        name = next(
            population.name
            for population, members in zip(self.populations, self.members, strict=True)
            if members.start <= owner < members.stop
        )
        held = ", ".join(
            f"{lots} lots of {instrument}"
            for instrument, lots in zip(self.contracts.names, self.position_of(owner).tolist(), strict=True)
            if lots
        )
        if held:
            raise DeleverageError(
                f"remove: owner {owner} of {name!r} holds {held}, must hold nothing: let it close first"
            )
        if any(owner == venue.rows.fund for venue in self.venues):
            raise DeleverageError(f"remove: owner {owner} of {name!r} is a venue's insurance fund, keep it")
        for instrument in range(len(self.contracts.names)):
            self.books.cancel_owners(instrument, np.array([owner]))
        self.retired[owner] = True

    @property
    def unit(self) -> int:
        """Minor units in one unit of the numeraire: what amounts of money are divided by to be read."""
        return int(10 ** self.config.assets[0].decimals)

    def mark_of(self, instrument: str) -> float:
        """Return the mark of an instrument in quote currency.

        Raises:
            DeleverageError: no venue lists an instrument of that name.
        """
        if instrument not in self.contracts.names:
            raise DeleverageError(f"mark_of: {not_one_of(instrument, self.contracts.names)}")
        k = self.contracts.names.index(instrument)
        venue = self.venues[self.contracts.venue[k]]
        return float(venue.view.mark[k - venue.part.start] * self.contracts.tick[k])

    def position_of(self, owner: int) -> I8:
        """Lots an owner holds of each instrument, (K,)."""
        return self.ledger.position[:, owner]

    def equity_of(self, owner: int) -> float:
        """An owner's equity over all venues, minor units of the numeraire."""
        return float(self.accounts(slice(owner, owner + 1)).equity.sum())

    def wallet_of(self, owner: int) -> I8:
        """An owner's wallet balances, (V, C) minor units."""
        wallet: I8 = self.accounts(slice(owner, owner + 1)).wallet[0]
        return wallet

    def exposed(self, venue: Venue) -> I8:
        """Open interest of a venue's instruments, (K,) lots."""
        return np.abs(self.ledger.position[venue.part]).sum(axis=1) // 2
