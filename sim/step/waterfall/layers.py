"""Parameters of the packaged loss layers, as columns for the kernels."""

from collections.abc import Sequence

import numpy as np

from sim.protocols import LossLayer
from sim.step.waterfall import tables
from sim.types import F8
from sim.waterfall.adl_pro_rata import AdlProRata
from sim.waterfall.adl_queue import AdlQueue
from sim.waterfall.fund import FundLayer
from sim.waterfall.socialised import SocialisedLoss

SCORES = {
    "bitmex": tables.BITMEX,
    "binance": tables.BINANCE,
    "hyperliquid": tables.HYPERLIQUID,
}
"""Numbers of scores by name."""


def tabulate_layers(layers: Sequence[LossLayer], has_brackets: bool) -> F8:
    """Return kind, alternative and share of each layer, and of bad debt behind them, (3, L + 1).

    Args:
        layers: in order.
        has_brackets: True if the kernels can compute the pool's margins. Otherwise layers that need
            margins are plain.
    """
    rows = [_tabulate_layer(layer, has_brackets) for layer in layers]
    return np.array([*rows, (tables.BAD_DEBT, 0, 0.0)]).T.copy()


def needs_maintenance(layers: F8) -> bool:
    """Return whether a layer ranks accounts by their maintenance margin."""
    kind, choice = layers[tables.LAYER_KIND], layers[tables.CHOICE]
    return bool(((kind == tables.QUEUE) & (choice == tables.BINANCE)).any())


def needs_profit(layers: F8) -> bool:
    """Return whether a layer divides losses by unrealised profit."""
    kind, choice = layers[tables.LAYER_KIND], layers[tables.CHOICE]
    return bool(((kind == tables.SOCIALISED) & (choice == 1)).any())


def _tabulate_layer(layer: LossLayer, has_brackets: bool) -> tuple[int, int, float]:
    """Return kind, alternative and share of a layer; subclasses are plain."""
    if type(layer) is FundLayer:
        return tables.FUND if has_brackets else tables.PLAIN_FUND, 0, layer.max_share
    if type(layer) is AdlQueue and (layer.score != "binance" or has_brackets):
        return tables.QUEUE, SCORES[layer.score], 0.0
    if type(layer) is AdlProRata:
        return tables.PRO_RATA, int(layer.profit_only), 0.0
    if type(layer) is SocialisedLoss:
        return tables.SOCIALISED, int(layer.base == "profit"), 0.0
    return tables.PLAIN, 0, 0.0
