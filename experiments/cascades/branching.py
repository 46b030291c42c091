"""Snapshots of a market, from which it can be continued repeatedly with changes."""

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
    """Snapshot of a market after some steps.

    The market is pickled. If it cannot be pickled, as with some plug-ins, it is simulated again
    each time. This gives the same result and takes longer.

    Args:
        begin: function that builds the market before its first step, the same each time.
        step: last step before the snapshot.
    """

    def __init__(self, begin: Callable[[], Market], step: int) -> None:
        self._begin, self._step = begin, step
        try:
            self._pickled: bytes | None = _pickle_market(self._rebuild_market())
        except (pickle.PicklingError, TypeError, AttributeError):
            self._pickled = None

    def restore_market(self, **changes: Any) -> Market:
        """Return an independent market at the snapshot.

        Args:
            changes: fields of the configuration that are read in every step, such as ``rescues``.
        """
        market: Market = (
            self._rebuild_market() if self._pickled is None else pickle.loads(self._pickled)
        )
        market.state.config = market.config.model_copy(update=changes)
        return market

    def simulate_frames(self, until: int, nudge: F8 | None = None, **changes: Any) -> Frames:
        """Return the frames recorded by the end of step ``until``.

        Args:
            until: last step.
            nudge: shift of equity, see ``shift_equity``; None = no shift.
            changes: see ``restore_market``.
        """
        market = self.restore_market(**changes)
        if nudge is not None:
            shift_equity(market, nudge)
        frames = advance_to(market, until).recorder.frames()
        # break the cycle with its agents, which would keep gigabytes until a garbage collection
        market.__dict__.clear()
        return frames

    def _rebuild_market(self) -> Market:
        return advance_to(self._begin(), self._step)


def advance_to(market: Market, until: int) -> Market:
    """Simulate a market to the end of a step, and return it."""
    if market.tick < until:
        market.advance(until - market.tick)
    return market


def shift_equity(market: Market, shares: F8) -> None:
    """Shift the equity of each account by a share of its notional, as if its entry had differed.

    Args:
        market: market between two steps.
        shares: (N,) share of each owner, the same in all its accounts; + increases equity.
    """
    tick_value, owners = market.state.tick_value(), market.state.external_owner
    for venue in market.venues:
        for state in venue.pool_states.values():
            pool = state.pool
            value = tick_value[pool.instruments] * venue.view.mark[pool.venue_slice]
            held = value @ np.abs(market.ledger.position[pool.instruments, :owners])
            amount = np.rint(shares[:owners] * held).astype(np.int64)
            rows = np.flatnonzero(amount)
            transfers = Transfers.from_columns(
                owners, rows, venue.wallet_pool, pool.number, 0, amount[rows]
            )
            market.ledger.transfer(transfers, DEPOSIT)


class _ViewPickler(pickle.Pickler):
    """Pickler that keeps arrays which share memory, such as the views of a ledger, shared."""

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
    """Return a writable array with memory of its own."""
    return np.ndarray(shape, dtype, held, order=order).copy(order)


def _pickle_market(market: Market) -> bytes:
    place = io.BytesIO()
    _ViewPickler(place, protocol=pickle.HIGHEST_PROTOCOL).dump(market)
    return place.getvalue()
