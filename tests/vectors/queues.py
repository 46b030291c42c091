"""Queues of auto-deleveraging (margin.md §10)."""

from typing import Any

import numpy as np
from vectors.runner import Case, Engine

from sim.waterfall import ranking


def binance(inputs: Case) -> Case:
    """The score, and the part of it that is profit over the wallet."""
    unrealised, wallet = (
        np.array([float(inputs[name])]) for name in ("unrealized", "wallet_balance")
    )
    ratio = np.array([float(inputs["margin_ratio"])])
    scores = {"pnl_percent": np.ones(1), "leverage_pnl": ratio}
    return {
        name: float(ranking.score_binance(unrealised, wallet, factor)[0])
        for name, factor in scores.items()
    }


def bitmex(inputs: Case) -> Case:
    """Counterparties of a liquidated position, in their order, and the lights of the queue."""
    side = "longs" if "longs" in inputs else "shorts"
    queue: list[Any] = inputs[side]
    wanted = inputs["liquidated_short_size" if side == "longs" else "liquidated_long_size"]
    score, limit = (np.array([each[name] for each in queue]) for name in ("score", "qty"))
    first = np.argsort(-score, kind="stable")
    taken = ranking.take_in_queue_order(score.astype(np.float64), limit, wanted)
    return {
        "order": [queue[row]["acct"] for row in first],
        "fills": [[queue[row]["acct"], int(taken[row])] for row in first if taken[row]],
        "percentile": ranking.compute_quintiles(limit[first]).tolist(),
    }


ENGINES: dict[str, Engine] = {"adl_binance": binance, "adl_bitmex": bitmex}
