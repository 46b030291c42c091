"""A market at the end of a step, from which it can go on as often as wanted, each time otherwise."""

import io
import pickle
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from sim.attribution import DEPOSIT
from sim.market import Market
from sim.metrics.cascades import Frames
from sim.types import F8, Transfers

Array = np.ndarray[Any, np.dtype[Any]]


class MarketSnapshot:
    """A market after some steps.

    It is held as bytes. A market that cannot be written as such (a plug-in may hold what cannot) is begun anew each
    time, which gives the same and takes longer.

    Args:
        begin: makes the market before its first step, the same each time.
        step: after which it forks.
    """

    def __init__(self, begin: Callable[[], Market], step: int) -> None:
        self._begin, self._step = begin, step
        try:
            self._pickled: bytes | None = _pickle_market(self._rebuild_market())
        except (pickle.PicklingError, TypeError, AttributeError):
            self._pickled = None

    def restore_market(self, **changes: Any) -> Market:
        """One that stands there and shares nothing with the others.

        Args:
            changes: fields of the configuration that are read in every step, such as ``rescues``.
        """
        market: Market = (
            self._rebuild_market() if self._pickled is None else pickle.loads(self._pickled)
        )
        market.state.config = market.config.model_copy(update=changes)
        return market

    def simulate_frames(self, until: int, nudge: F8 | None = None, **changes: Any) -> Frames:
        """What was recorded by the end of step ``until``.

        Args:
            until: a step.
            nudge: see ``nudged``; none = nobody is.
            changes: as of ``market``.
        """
        market = self.restore_market(**changes)
        if nudge is not None:
            shift_equity(market, nudge)
        frames = advance_to(market, until).recorder.frames()
        market.__dict__.clear()  # its agents know it: without this its arrays wait for a collection, by the gigabyte
        return frames

    def _rebuild_market(self) -> Market:
        return advance_to(self._begin(), self._step)


def advance_to(market: Market, until: int) -> Market:
    """The same market at the end of a step."""
    while market.tick < until:
        market.step()
    return market


def shift_equity(market: Market, shares: F8) -> None:
    """Give every account so much of its notional, or take it, as if its entry had been that much better.

    Args:
        market: between two steps.
        shares: (N,) for each owner, the same in all its accounts.
    """
    worth, owners = market.state.tick_value(), market.state.external_owner
    for venue in market.venues:
        for state in venue.pool_states.values():
            pool = state.pool
            value = worth[pool.instruments] * venue.view.mark[pool.venue_slice]
            held = value @ np.abs(market.ledger.position[pool.instruments, :owners])
            amount = np.rint(shares[:owners] * held).astype(np.int64)
            who = np.flatnonzero(amount)
            given = Transfers.from_columns(
                owners, who, venue.wallet_pool, pool.number, 0, amount[who]
            )
            market.ledger.transfer(given, DEPOSIT)


class _ViewPickler(pickle.Pickler):
    """Arrays that look into another one's memory still do when read back: a ledger's views stay views."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not np.ndarray or value.dtype.hasobject:
            return NotImplemented
        root = value
        while isinstance(root.base, np.ndarray):
            root = root.base
        if root is value:
            order: Literal["F", "C"] = (
                "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
            )
            return _rebuild_array, (value.tobytes(order), value.shape, value.dtype, order)
        offset = value.__array_interface__["data"][0] - root.__array_interface__["data"][0]
        return np.ndarray, (value.shape, value.dtype, root, offset, value.strides)


def _rebuild_array(
    held: bytes, shape: tuple[int, ...], dtype: "np.dtype[Any]", order: Literal["F", "C"]
) -> Array:
    """One with memory of its own, which may be written to."""
    return np.ndarray(shape, dtype, held, order=order).copy(order)


def _pickle_market(market: Market) -> bytes:
    place = io.BytesIO()
    _ViewPickler(place, protocol=pickle.HIGHEST_PROTOCOL).dump(market)
    return place.getvalue()
