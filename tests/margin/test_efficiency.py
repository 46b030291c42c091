"""Equal capital efficiency (MAR-2): closed form, on the frozen reference book and random books."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contracts.margin_worlds import TIERED, UNIT, few, seeds, world
from hypothesis import given
from hypothesis import strategies as st

from experiments.generated.reference_books import ENGINES, format_engine_table, load_reference_book
from sim.errors import ConfigError
from sim.margin.efficiency import (
    EngineCapital,
    measure_capital,
    scale_to_equal_capital,
    solve_compression,
)
from sim.margin.engine import EngineConfig
from sim.reading.loading import load_config
from sim.types import Exposure

BOOKS, MONEY = load_reference_book()
PRESETS = sorted(path.stem for path in ENGINES.glob("*.yaml"))


def preset(name: str) -> EngineConfig:
    found: EngineConfig = load_config(f"engines/{name}", [], EngineConfig)
    return found


def test_the_book_is_a_market_in_which_people_hold_both_sides() -> None:
    assert len(BOOKS) == 4
    for book in BOOKS:
        assert len(book.position) > 500
        assert (book.position > 0).any()
        assert (book.position < 0).any()
        assert (book.equity() > 0).mean() > 0.99
        assert len(book.market.returns) == book.market.tick
        assert np.isfinite(book.market.mark).all()


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("target", [0.01, 0.05, 0.4])
def test_every_engine_can_be_brought_to_a_target(name: str, target: float) -> None:
    engine = scale_to_equal_capital(preset(name), BOOKS, MONEY, target)
    assert measure_capital(engine, BOOKS, MONEY).total == pytest.approx(target, rel=1e-12)


def test_by_hand() -> None:
    """The baseline stays in the first tier of 40x; binance requires less, so kappa is negative."""
    isolated = measure_capital(preset("isolated"), BOOKS, MONEY)
    assert isolated == (pytest.approx(1 / 40), 0.0)
    assert solve_compression(EngineCapital(0.05, 0.01), 0.03) == pytest.approx(0.6)
    assert solve_compression(EngineCapital(0.05, 0.01), 0.06) == pytest.approx(0.0)
    assert solve_compression(EngineCapital(0.05, 0.01), 0.11) == pytest.approx(-1.0)
    binance = measure_capital(preset("binance"), BOOKS, MONEY)
    assert solve_compression(binance, isolated.total) == pytest.approx(
        1 - isolated.total / binance.margin
    )
    assert solve_compression(binance, isolated.total) < 0


@pytest.mark.parametrize("name", PRESETS)
def test_dials_turn_any_engine(name: str) -> None:
    plain, dials = preset(name), {"margin_multiplier": 1.5, "compression": 0.2}
    measured = measure_capital(plain, BOOKS, MONEY)
    turned = measure_capital(plain.model_copy(update=dials), BOOKS, MONEY)
    assert turned == (pytest.approx(1.2 * measured.margin, rel=1e-12), measured.haircut)
    book = BOOKS[0]
    even = plain.model_copy(update=dials | {"maintenance_ratio": 0.25}).build_engine(
        book.market.contracts, MONEY
    )
    even.observe(book.market)
    risk = even.assess(book)
    np.testing.assert_allclose(risk.maintenance, 0.25 * risk.initial, atol=1)


@few
@given(seed=seeds, target=st.floats(0.01, 3.0))
def test_haircuts_are_not_compressed(seed: int, target: float) -> None:
    _, book = world(seed)
    settings: dict[str, Any] = {"requirement": {"kind": "tiered", "tiers": TIERED["tiers"]}}
    engine = EngineConfig.model_validate(settings)
    measured = measure_capital(engine, [book], UNIT)
    if target <= measured.haircut:
        with pytest.raises(ConfigError, match="haircuts take, raise it"):
            solve_compression(measured, target)
    elif measured.margin > 0:
        got = measure_capital(scale_to_equal_capital(engine, [book], UNIT, target), [book], UNIT)
        assert got.total == pytest.approx(target, rel=1e-9)
        assert got.haircut == measured.haircut


def test_what_cannot_be_brought_anywhere_is_refused() -> None:
    with pytest.raises(ConfigError, match="requires nothing"):
        solve_compression(EngineCapital(0.0, 0.0), 0.1)
    flat: Exposure = BOOKS[0]._replace(position=np.zeros_like(BOOKS[0].position))
    with pytest.raises(ConfigError, match="no account holds a position"):
        measure_capital(preset("isolated"), [flat], MONEY)


def test_the_table_names_every_engine() -> None:
    lines = list(format_engine_table(BOOKS, MONEY))
    assert [line.split()[0] for line in lines[1:]] == PRESETS
    assert lines[1 + PRESETS.index("isolated")].split()[1:] == ["0.0250", "0.0000", "0.0000"]


def test_the_frozen_file_ships(tmp_path: Path) -> None:
    files = (ENGINES.parent / "reference").glob("*.json")
    assert all(file.stat().st_size < 200_000 for file in files)
