"""The learned requirement: trees as arrays, walk-forward, floors, fallback, trained files that run nothing."""

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from papers import crash
from typer.testing import CliRunner

from experiments.cli import app
from experiments.config import load_run
from experiments.series import Series
from experiments.store import canonical
from experiments.train import pinball, train
from sim.errors import ConfigError, DataError
from sim.margin.dials import Dialled
from sim.margin.features import NAMES
from sim.margin.forest import Forest, edges, grown
from sim.margin.learned import Learned, LearnedMargin, events_of
from sim.margin.reference import one_lot_each, rates
from sim.margin.summed import SummedMargin
from sim.margin.tail import TailRisk
from sim.margin.trained import read_trained, write_trained
from sim.margin.walk import contracts_of, views, walk
from sim.types import F8

DAY = 86_400.0
PURPOSE = (0.95, DAY, DAY)
RUNNER = CliRunner()


def rule(**changes: Any) -> Learned:
    short = {"level": 0.95, "least": 150 * DAY, "window": 600 * DAY, "refit": 100 * DAY, "trees": 15, "floor": 0.0}
    inner = TailRisk.model_validate({"model": {"kind": "ewma", "seed": 50}, "level": 0.95})
    return Learned.model_validate({"inner": inner.model_dump(), **short, **changes})


def returns(rows: int = 420, seed: int = 1) -> F8:
    """Two regimes of volatility, half a year each."""
    rng = np.random.default_rng(seed)
    size = np.where(np.arange(rows) // 60 % 2, 0.02, 0.007)
    return (size * rng.standard_t(6, rows))[:, None]


@pytest.fixture(scope="module")
def forest() -> Forest:
    rng = np.random.default_rng(2)
    features = rng.normal(0, 1, (1500, len(NAMES)))
    features[rng.random(features.shape) < 0.05] = np.nan
    features[:, 7] = np.nan
    return grown(features, np.nan_to_num(features[:, 0]) + rng.normal(0, 1, 1500), 0.95, trees=20)


def test_arrays_predict_what_the_library_does() -> None:
    from sklearn.ensemble import HistGradientBoostingRegressor

    from sim.margin.forest import descend

    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (800, 4))
    features[rng.random(features.shape) < 0.1] = np.nan
    target = np.nan_to_num(features).sum(axis=1) + rng.normal(0, 1, 800)
    ours = grown(features, target, 0.9, trees=25)
    shape: dict[str, Any] = {"max_leaf_nodes": 8, "min_samples_leaf": 60, "learning_rate": 0.05}
    theirs = HistGradientBoostingRegressor(
        loss="quantile", quantile=0.9, max_iter=25, early_stopping=False, random_state=0, **shape
    ).fit(features, target)
    fresh = np.vstack([rng.normal(0, 1.5, (200, 4)), np.full((1, 4), np.nan)])
    np.testing.assert_allclose(ours.predict(fresh), theirs.predict(fresh), rtol=1e-12)
    table = np.stack([ours.threshold, ours.value])
    links = np.stack([ours.feature, ours.left, ours.right, ours.missing_left.astype(np.int64)])
    plain = descend.py_func(fresh, table, links, ours.roots)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(plain, descend(fresh, table, links, ours.roots))


def test_walk_forward_knows_nothing_of_later_days() -> None:
    rows = returns()
    later = rows.copy()
    later[330:] = -5 * later[330:][::-1]
    one, other = walk(rule(), rows, dt=DAY), walk(rule(), later, dt=DAY)
    np.testing.assert_array_equal(one[:331], other[:331])
    assert (one[331:] != other[331:]).any()


def test_it_asks_more_where_losses_will_be_larger() -> None:
    """Predicted margins separate the regimes and stay near their level after training."""
    path, rows = walk(rule(), returns(900), dt=DAY), returns(900)
    first = round(rule().look_back() / DAY)
    wild = (np.arange(900) // 60 % 2 == 1) & (np.arange(900) % 60 > 20)
    calm = (np.arange(900) // 60 % 2 == 0) & (np.arange(900) % 60 > 20)
    assert path[first:][wild[first:]].mean() > 1.5 * path[first:][calm[first:]].mean()
    assert 0.01 < (-rows[first:, 0] > path[first:]).mean() < 0.1


def last_margin(requirement: LearnedMargin, rows: F8, confidence: float = 1.0) -> F8:
    for view in views(rows, DAY):
        if view.tick:
            requirement.observe(view._replace(confidence=np.full(1, confidence if view.tick == len(rows) - 1 else 1.0)))
    return rates(requirement, view)


def test_it_never_asks_less_than_its_floors() -> None:
    rows = returns()
    inner = walk(rule().inner, rows, dt=DAY)
    half = walk(rule(share=1.0), rows, dt=DAY)
    assert (half >= inner * (1 - 1e-12)).all()
    assert walk(rule(floor=0.08), rows, dt=DAY)[300:].min() >= 0.08


def test_it_falls_back_and_says_so() -> None:
    """On moves that training never saw, and when the oracle is silent; the inner requirement is then covered."""
    rows = returns()
    rows[400] = -0.4
    requirement = rule().bind(contracts_of(1), unit=1)
    last_margin(requirement, rows[:402])
    assert requirement.fallen
    assert requirement.events[0].reason == "predicts" or requirement.events[0].reason == "out of range"
    assert requirement.events[-1] == (401, "out of range")
    calm = rule().bind(contracts_of(1), unit=1)
    asked = last_margin(calm, returns()[:400], confidence=0.0)
    assert calm.events[-1].reason == "stale"
    view = list(views(returns()[:400], DAY))[-1]
    assert (asked >= rates(calm.inner, view) * (1 - 1e-12)).all()
    assert events_of(calm) == calm.events
    assert events_of(calm.inner) == []
    assert events_of(SummedMargin([calm.inner, Dialled(calm, 0.5, None)])) == calm.events


def test_a_trained_file_is_read_as_it_was_written(tmp_path: Path, forest: Forest) -> None:
    path = tmp_path / "model.npz"
    write_trained(path, forest, PURPOSE)
    again = read_trained(str(path), PURPOSE)
    table = np.random.default_rng(1).normal(0, 1, (50, len(NAMES)))
    np.testing.assert_array_equal(again.predict(table), forest.predict(table))
    frozen = rule(trained=str(path)).bind(contracts_of(1), unit=1)
    last_margin(frozen, returns(200))
    np.testing.assert_array_equal(frozen.forest.value, forest.value)  # type: ignore[union-attr]
    assert frozen.rate is not None


def test_files_that_are_something_else_are_refused(tmp_path: Path, forest: Forest) -> None:
    path = tmp_path / "model.npz"
    for content, told in ((b"", "cannot be read"), (b"not a model", "cannot be read")):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=told):
            read_trained(str(path), PURPOSE)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_trained(str(tmp_path / "none.npz"), PURPOSE)
    np.savez(path, format=np.array("deleverage forest 1"))
    with pytest.raises(ConfigError, match="no trained model"):
        read_trained(str(path), PURPOSE)
    write_trained(path, forest, PURPOSE)
    with pytest.raises(ConfigError, match=r"trained for level 0\.95, not 0\.99"):
        read_trained(str(path), (0.99, DAY, DAY))
    held = dict(np.load(path))
    np.savez(path, **{**held, "names": np.array(["return_1", "mood"])})
    with pytest.raises(ConfigError, match=r"other features.*mood"):
        read_trained(str(path), PURPOSE)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"left": lambda a: np.zeros_like(a)}, "children and roots"),
        ({"right": lambda a: a + 10**6}, "children and roots"),
        ({"feature": lambda a: np.where(a >= 0, len(NAMES), a)}, "children and roots"),
        ({"roots": lambda a: a[:0]}, "children and roots"),
        ({"left": lambda a: a[:-1]}, "lengths"),
        ({"low": lambda a: a[:-1]}, "lengths"),
        ({"value": lambda a: np.where(a == a.max(), np.nan, a)}, "not finite"),
        ({"base": lambda a: np.float64(np.inf)}, "not finite"),
        ({"value": lambda a: np.full_like(a, 1e308)}, "not finite"),
        ({"high": lambda a: np.full_like(a, np.nan)}, "ranges"),
        ({"base": lambda a: np.ones(3)}, "shapes"),
        ({"value": lambda a: a[:, None]}, "shapes"),
        ({"left": lambda a: a.astype(float)}, "not whole"),
        ({"value": lambda a: a.astype(str)}, "not all are numbers"),
        ({"names": lambda a: None}, "no trained model"),
        ({"level": lambda a: None}, "no trained model"),
    ],
)
def test_a_forged_file_is_refused(tmp_path: Path, forest: Forest, change, told: str) -> None:  # type: ignore[no-untyped-def]
    """Nothing that a file may say makes a descent endless, reads beside the arrays, or asks for what is no number."""
    path = tmp_path / "model.npz"
    write_trained(path, forest, PURPOSE)
    held = dict(np.load(path))
    forged = {name: change.get(name, lambda a: a)(array) for name, array in held.items()}
    np.savez(path, **{name: array for name, array in forged.items() if array is not None})
    with pytest.raises(ConfigError, match=told):
        read_trained(str(path), PURPOSE)


def test_a_file_that_would_swell_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    np.savez_compressed(path, format=np.zeros(9_000_000))
    with pytest.raises(ConfigError, match="bytes unpacked, at most"):
        read_trained(str(path), PURPOSE)
    bare = tmp_path / "model.npy"
    np.save(bare, np.zeros(3))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_trained(str(bare), PURPOSE)


HEADERS = [
    f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({2**70},)}}\n",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1L,)}\n",
    "(" * 9000,
    "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n",
    "{'descr': __import__('os').getcwd(), 'fortran_order': False, 'shape': ()}\n",
]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_LZMA])
def test_headers_that_nobody_writes_are_refused(tmp_path: Path, header: str, packed: int) -> None:
    path = tmp_path / "model.npz"
    with zipfile.ZipFile(path, "w", packed) as archive:
        archive.writestr("format.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
    with pytest.raises(ConfigError, match="cannot be read"):
        read_trained(str(path), PURPOSE)


def test_damaged_bytes_are_refused_or_harmless(tmp_path: Path, forest: Forest) -> None:
    """Whatever a byte is changed to, packed by whatever: a line, or a forest whose predictions are numbers."""
    path, rng = tmp_path / "model.npz", np.random.default_rng(5)
    write_trained(path, forest, PURPOSE)
    held, table = path.read_bytes(), rng.normal(0, 1, (5, len(NAMES)))
    with zipfile.ZipFile(tmp_path / "small.npz", "w", zipfile.ZIP_LZMA) as small, zipfile.ZipFile(path) as whole:
        for name in whole.namelist():
            small.writestr(name, whole.read(name))
    for content in (held, (tmp_path / "small.npz").read_bytes()):
        for _ in range(60):
            damaged = bytearray(content)
            damaged[rng.integers(len(damaged))] = rng.integers(256)
            path.write_bytes(damaged)
            try:
                found = read_trained(str(path), PURPOSE)
            except ConfigError:
                continue
            assert np.isfinite(found.predict(table)).all()


def test_results_are_named_by_what_the_file_holds(tmp_path: Path, forest: Forest) -> None:
    """The same path and other content is another configuration; a configuration holds on to the content it had."""
    path = tmp_path / "model.npz"
    write_trained(path, forest, PURPOSE)
    before = rule(trained=str(path))
    assert len(before.digest) == 64
    assert Learned.model_validate(before.model_dump()) == before
    write_trained(path, forest._replace(base=forest.base + 1), PURPOSE)
    after = rule(trained=str(path))
    assert canonical(before.model_dump(mode="json")) != canonical(after.model_dump(mode="json"))
    with pytest.raises(ValueError, match="has changed since it was"):
        Learned.model_validate(before.model_dump())
    with pytest.raises(ConfigError, match=r"venues\.0\.engine\.requirement.*trained: nowhere.npz: cannot be read"):
        load_run("baseline", ["venues.0.engine.requirement={kind: learned, trained: nowhere.npz}"])


def test_features_of_the_book_and_the_crowd_are_known_in_a_market() -> None:
    """Imbalance within 1% of the mark; gross notional over equity of margin accounts, as the frames have them."""
    learns = {"kind": "learned", "every": 60, "horizon": 60, "least": 3600, "window": 3600, "refit": 3600}
    exchange = {**crash.EXCHANGE, "engine": {"requirement": learns}}
    market = crash.market(1, crash.config(steps=104, stresses=[], venues=[exchange, crash.OUTSIDE]))
    while market.tick < market.steps_planned:
        market.step()
    venue, frames = market.venues[0], market.recorder.frames()
    before, equity = (frames[name].query("step == 103").iloc[0] for name in ("steps", "venues"))
    value = before["mark"] / crash.PERPETUAL["tick"] * venue.contracts.multiplier[0]
    assert venue.view.crowd[0] == pytest.approx(2 * before["open_interest"] * value / equity["equity"], rel=1e-6)
    mark = np.rint(frames["steps"].query("step == 103")["mark"].to_numpy() / market.contracts.tick)
    bids, asks = market.books.depth(np.ceil(0.99 * mark).astype(np.int64), np.floor(1.01 * mark).astype(np.int64))[0]
    assert venue.view.imbalance[0] == (bids - asks) / (bids + asks)
    requirement = next(iter(venue.states.values())).engine.requirement
    assert isinstance(requirement, LearnedMargin)
    known = dict(zip(NAMES, requirement.examples[-1].features[0, 0], strict=True))
    assert {name for name, value in known.items() if np.isnan(value)} == {"implied"}
    long, short = requirement.examples[-1].features[:, 0]
    place = NAMES.index("imbalance")
    assert long[place] == -short[place] != 0


def test_opening_a_strangers_file_runs_nothing(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    path = tmp_path / "model.npz"
    np.savez(path, format=np.array([Trap()], dtype=object))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_trained(str(path), PURPOSE)
    assert not (tmp_path / "sprung").exists()


def test_training_tells_what_it_is_worth(tmp_path: Path) -> None:
    series = Series(("a",), np.empty(0, dtype="datetime64[D]"), returns(700))
    report = train(series, rule())
    assert report.pinball["in sample"] < report.pinball["walk-forward"]
    assert set(report.importance["feature"]) == set(NAMES)
    assert set(report.calibration["forecast"]) == {"in sample", "walk-forward"}
    with pytest.raises(DataError, match="longer series"):
        train(series._replace(returns=returns(300)), rule())


def test_the_command_trains_and_the_backtest_uses_the_file(tmp_path: Path) -> None:
    source, out = tmp_path / "returns.csv", tmp_path / "model"
    np.savetxt(source, returns(1050), header="a", comments="")
    words = ("--data", str(source), "--confidence", "0.95", "--out", str(out))
    result = RUNNER.invoke(app, ["train", *words])
    assert result.exit_code == 0, result.output
    assert result.stdout.strip().splitlines()[-1] == str(out / "model.npz")
    assert {path.name for path in (out / "figures").iterdir()} == {"training.pdf", "training.png", "training.csv"}
    judged = RUNNER.invoke(app, ["backtest", *words[:4], "--engines", str(out / "model.npz"), "--json"])
    told = json.loads(judged.stdout)
    assert 0 < told[0]["breach_rate"] < 0.15
    assert told[0]["acerbi_szekely_z2"] is None
    wrong = RUNNER.invoke(app, ["backtest", *words[:2], "--engines", str(out / "model.npz")])
    assert (wrong.exit_code, "trained for level" in wrong.stderr) == (2, True)


def test_pinball_is_least_at_the_quantile() -> None:
    seen = np.random.default_rng(0).normal(0, 1, 20_000)
    losses = [pinball(seen, np.full(seen.size, guess), 0.9) for guess in (1.0, 1.2816, 1.6)]
    assert losses[1] < min(losses[0], losses[2])


def test_edges_ignore_what_is_unknown() -> None:
    low, high = edges(np.array([[1.0, np.nan], [3.0, np.nan]]))
    assert (low[0], high[0]) == (1, 3)
    assert (low[1], high[1]) == (-np.inf, np.inf)
    assert one_lot_each(next(iter(views(returns(5), DAY)))).position.shape == (1, 1)
