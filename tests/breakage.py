"""A small market to break, and what is told of it once it is broken."""

import warnings
from collections.abc import Sequence

from agents import populate
from experiments.config import load_run
from experiments.data import read_replays
from sim.errors import ConfigError
from sim.market import Market

BASE = """
duration: 600
underlyings:
- {name: btc, start: 50000, process: {kind: gbm, volatility: 0.6}}
- {name: eth, start: 3000, process: {kind: gbm, volatility: 0.8}}
correlation: [[1, 0.8], [0.8, 1]]
stresses: [{kind: move, at: 300, size: -0.10}]
venues:
- name: exchange
  instruments:
  - {name: BTC-PERP, underlying: btc, tick: 0.5, lot: 0.02, max_price: 200000, max_lots: 2_000_000}
  - {name: ETH-PERP, underlying: eth, tick: 0.1, lot: 0.1, max_price: 20000, max_lots: 2_000_000}
  engine: {netting: {kind: cross}, requirement: {kind: tiered}}
- name: outside
  instruments:
  - {name: BTC-SPOT, underlying: btc, kind: spot, tick: 0.5, lot: 0.02, max_price: 200000, max_lots: 2_000_000}
  engine: {netting: {kind: cross}, requirement: {kind: tiered}}
populations:
- {kind: traders, count: 5, venue: exchange}
- {kind: makers, count: 2, venue: exchange}
- {kind: arbitrageurs, count: 2, venue: exchange, spot_venue: outside, instruments: [BTC-PERP]}
- {kind: insurance_fund, venue: exchange}
"""


def problems(overrides: Sequence[str], name: str = "mine.yaml", *, quick: bool = False) -> list[str]:
    """What is wrong with a market once it is loaded and built."""
    try:
        config = load_run(name, overrides, quick=quick)
        with warnings.catch_warnings():  # margin that learns may say that a run is short
            warnings.simplefilter("ignore")
            Market(config, populate(config.populations), seed=config.seed, bars=read_replays(config.underlyings))
    except ConfigError as error:
        return error.problems
    return []


def parts(overrides: str) -> list[str]:
    """Overrides that stand in one text, `` ; `` between them."""
    return [part for part in overrides.split(" ; ") if part]
