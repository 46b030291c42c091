"""A run under every packaged engine is the same, to the byte, in compiled and in plain steps."""

from typing import Any

import pytest
from omegaconf import OmegaConf
from pandas.testing import assert_frame_equal

from agents import populate
from experiments.config import load_run
from experiments.generated.presets import PRESETS
from experiments.generated.reference_books import ENGINES
from sim.margin.engine import EngineConfig
from sim.market import Market

TINY = ("populations.0.count=120",)
STEPS = 60
"""Steps of a tiny crash: positions are taken, the index falls, accounts are closed out."""

UNBOUND = {"learned"}
"""Packaged engines that learn and assess in Python."""

SHORT_MEMORY = {"fhs_es": 900, "fhs_var": 900, "learned": 900}
"""Least past of models, for runs of an hour (s)."""


def load_engine(name: str, **changed: Any) -> EngineConfig:
    engine = OmegaConf.to_container(OmegaConf.load(ENGINES / f"{name}.yaml"))
    assert isinstance(engine, dict)
    if name in SHORT_MEMORY:
        engine["requirement"]["inner"]["model"] |= {"least": SHORT_MEMORY[name], "seed": 10}
    return EngineConfig.model_validate(engine | changed)


def compare_runs(run: str, engine: EngineConfig, steps: int, *overrides: str) -> Market:
    """Fail unless plain and compiled steps leave the same frames and the same ledger."""
    config = load_run(run, overrides)
    venues = tuple(each.model_copy(update={"engine": engine}) for each in config.venues)
    config = config.model_copy(update={"venues": venues})
    plain, compiled = (
        Market(config, populate(config.populations), seed=config.seed) for _ in range(2)
    )
    for _ in range(steps):
        plain.step()
    compiled.advance(steps // 2)
    compiled.step()
    compiled.advance(steps - steps // 2 - 1)
    found, expected = compiled.recorder.frames(), plain.recorder.frames()
    assert expected.keys() == found.keys()
    for name, frame in expected.items():
        assert_frame_equal(found[name], frame, check_exact=True, obj=name)
    for column in ("balance", "position", "entry", "leverage"):
        assert (getattr(plain.ledger, column) == getattr(compiled.ledger, column)).all(), column
    return plain


BY_DEFAULT = ("isolated", "span", "derive", "bybit", "scaled")
"""Engines of different kinds; the others are slow, because each compiles kernels of its own."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name not in BY_DEFAULT)) for name in PRESETS],
)
def test_packaged_engines(name: str) -> None:
    market = compare_runs("small_crash", load_engine(name), STEPS, *TINY)
    assert market.recorder.summary()["trades"] > 0


@pytest.mark.parametrize("name", ["bybit", "span", "vega", "scaled", "fhs_es"])
def test_engines_that_are_scaled_and_compressed(name: str) -> None:
    engine = load_engine(name, margin_multiplier=1.3, compression=0.4, maintenance_ratio=0.6)
    compare_runs("small_crash", engine, STEPS, *TINY)


@pytest.mark.parametrize("name", ["bybit", "derive", "fhs_es", "paradex", "scaled", "span"])
def test_engines_of_two_underlyings(name: str) -> None:
    compare_runs("two_coins", load_engine(name), 40)


@pytest.mark.parametrize("name", PRESETS)
def test_packaged_engines_are_bound(name: str) -> None:
    """Kernels stand for all of them but learned ones: no step observes them in Python."""
    config = load_run("small_crash", TINY)
    venues = tuple(each.model_copy(update={"engine": load_engine(name)}) for each in config.venues)
    market = Market(
        config.model_copy(update={"venues": venues}), populate(config.populations), seed=1
    )
    market.advance(1)
    run = market._compiled
    assert run is not None
    observe = [venue.observe_market for venue in market.state.venues]
    in_python = [each for each in run._program.instructions if each.plain in observe]
    assert bool(in_python) == (name in UNBOUND)
