"""What is written to disk: bytes, folders, figures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
import pytest
from synthetic import frames

from experiments.figures import overview
from experiments.store import Draft, canonical, config_hash, write_frame, write_json
from sim.errors import OutputError


def test_negative_zero_and_every_nan_are_one(tmp_path: Path) -> None:
    payload = np.array([0x7FF8000000000001], dtype=np.uint64).view(np.float64)[0]
    for name, values in (("a", [0.0, np.nan, 1.0]), ("b", [-0.0, payload, 1.0])):
        write_frame(pd.DataFrame({"x": values}), tmp_path / name, {"k": "v"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_frame_comes_back_as_it_was(tmp_path: Path) -> None:
    before = frames(50)["steps"]
    write_frame(before, tmp_path / "x.parquet", {"config": "{}"})
    after = pd.read_parquet(tmp_path / "x.parquet")
    pd.testing.assert_frame_equal(after, before, check_dtype=False)
    assert after["stamp"].dtype == "datetime64[ms]"  # the coarsest that Parquet has
    assert parquet.read_schema(tmp_path / "x.parquet").metadata[b"config"] == b"{}"


def test_the_hash_knows_what_decides_a_result() -> None:
    base = config_hash({"a": 1, "b": 2}, "0.1", {"x": "d"})
    assert len(base) == 12
    assert base == config_hash({"b": 2, "a": 1}, "0.1", {"x": "d"})
    others = [config_hash({"a": 1, "b": 3}, "0.1", {"x": "d"}), config_hash({"a": 1, "b": 2}, "0.2", {"x": "d"})]
    assert base not in [*others, config_hash({"a": 1, "b": 2}, "0.1", {"x": "e"})]


def test_json_never_holds_nan(tmp_path: Path) -> None:
    for write in (canonical, lambda value: write_json(value, tmp_path / "x.json")):
        with pytest.raises(ValueError, match="JSON compliant"):
            write({"x": float("nan")})


@pytest.mark.parametrize("replay", [True, False])
@pytest.mark.parametrize("losses", [True, False])
def test_figures_are_made_again_byte_by_byte(tmp_path: Path, replay: bool, losses: bool) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        overview(frames(replay=replay, losses=losses), tmp_path / name, unit=100, currency="USD")
    for suffix in ("pdf", "png", "csv"):
        first, second = ((tmp_path / name / f"overview.{suffix}").read_bytes() for name in ("a", "b"))
        assert first == second, suffix
    assert b"CreationDate" not in (tmp_path / "a" / "overview.pdf").read_bytes()


def test_the_figure_s_numbers_are_those_of_the_frames(tmp_path: Path) -> None:
    made = frames()
    overview(made, tmp_path, unit=100, currency="USD")
    drawn = pd.read_csv(tmp_path / "overview.csv")
    total = drawn.groupby("series")["value"].sum()
    assert total["liquidated_notional"] == pytest.approx(made["steps"]["liquidated_notional"].sum() / 100)
    assert total["closeouts_shown"] == pytest.approx(made["closeouts"]["notional"].sum() / 100)
    assert total["adl_notional"] == pytest.approx(made["steps"]["adl_notional"].sum() / 100)


@pytest.mark.parametrize("steps", [1, 2, 5000])
def test_figures_of_any_length(tmp_path: Path, steps: int) -> None:
    assert overview(frames(steps), tmp_path, unit=100, currency="USD").is_file()


def test_a_finished_result_whose_place_was_taken_meanwhile_is_kept(tmp_path: Path) -> None:
    final = tmp_path / "result"
    with Draft(final) as draft:
        (draft.folder / "manifest.json").write_text("{}")
        final.mkdir()
        (final / "of somebody else").touch()
        with pytest.raises(OutputError, match="the finished result is kept in") as told:
            draft.commit()
    kept = Path(str(told.value).rsplit(" ", 1)[1])
    assert [path.name for path in kept.iterdir()] == ["manifest.json"]
