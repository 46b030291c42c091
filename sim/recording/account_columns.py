"""Columns of the frame ``accounts``: a snapshot of margin accounts and wallets of one venue."""

import numpy as np

from sim.types import F8, I8
from sim.venue import Venue


def _round_to_int(values: F8) -> I8:
    return np.rint(values).astype(np.int64)


def list_account_columns(
    venue: Venue, agents: I8, shared: dict[str, object]
) -> list[dict[str, object]]:
    """Return columns of each pool's accounts, and of wallets that are separate from them."""
    cash = _round_to_int(venue.wallet_value(slice(None))[agents])
    nothing = np.zeros(agents.size, dtype=np.int64)
    parts = []
    for number, state in venue.pool_states.items():
        value = venue.pool_accounts(state.pool).take(agents).position_value()
        columns = shared | {"venue": venue.config.name, "pool": number}
        for name in state.assessment._fields:
            columns[name] = _round_to_int(getattr(state.assessment, name)[agents])
        columns["gross"] = _round_to_int(np.abs(value).sum(axis=1))
        columns["net"] = _round_to_int(value.sum(axis=1))
        columns["wallet"] = cash if number == venue.wallet_pool else nothing
        parts.append(columns)
    if venue.wallet_pool not in venue.pool_states:
        columns = shared | {"venue": venue.config.name, "pool": venue.wallet_pool, "equity": cash}
        columns |= dict.fromkeys(("initial", "maintenance", "gross", "net"), nothing)
        parts.append(columns | {"wallet": cash})
    return parts
