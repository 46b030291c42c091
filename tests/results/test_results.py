"""Files of a result: bytes, folders, figures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
import pytest
from synthetic import frames

from experiments.figures.overview import FIGURES, draw_overview
from experiments.results.store import (
    ResultDraft,
    decode_frame,
    dump_canonical_json,
    hash_config,
    restore_frame,
    write_csv,
    write_frame,
    write_json,
)
from experiments.results.summary_table import format_summary_table
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


@pytest.mark.parametrize(("replay", "losses"), [(True, True), (False, False)])
def test_a_frame_in_memory_is_restored_as_the_file_would_be(
    tmp_path: Path, replay: bool, losses: bool
) -> None:
    """Scores of runs just made and of runs read from disk see the same frames."""
    made = frames(50, replay=replay, losses=losses)
    made["steps"] = made["steps"].assign(zero=-0.0)
    for name, frame in made.items():
        frame.attrs["units"] = {"step": "1"}
        write_frame(frame, tmp_path / name, {})
        restored, read = restore_frame(frame), decode_frame((tmp_path / name).read_bytes())
        pd.testing.assert_frame_equal(restored, read, check_exact=True)
        assert (restored.attrs, frame.attrs["units"]) == (read.attrs, {"step": "1"})
        for column in restored.select_dtypes("floating"):
            assert restored[column].to_numpy().tobytes() == read[column].to_numpy().tobytes()


def test_the_hash_knows_what_decides_a_result() -> None:
    base = hash_config({"a": 1, "b": 2}, "0.1", {"x": "d"})
    assert len(base) == 12
    assert base == hash_config({"b": 2, "a": 1}, "0.1", {"x": "d"})
    others = [
        hash_config({"a": 1, "b": 3}, "0.1", {"x": "d"}),
        hash_config({"a": 1, "b": 2}, "0.2", {"x": "d"}),
    ]
    assert base not in [*others, hash_config({"a": 1, "b": 2}, "0.1", {"x": "e"})]


def test_json_never_holds_nan(tmp_path: Path) -> None:
    for write in (dump_canonical_json, lambda value: write_json(value, tmp_path / "x.json")):
        with pytest.raises(ValueError, match="JSON compliant"):
            write({"x": float("nan")})


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize(
    ("replay", "losses"), [(True, True), pytest.param(False, False, marks=pytest.mark.slow)]
)
def test_figures_are_made_again_byte_by_byte(
    tmp_path: Path, figure: str, replay: bool, losses: bool
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        FIGURES[figure](
            frames(replay=replay, losses=losses), tmp_path / name, unit=100, currency="USD"
        )
    for suffix in ("pdf", "png", "csv"):
        first, second = (
            (tmp_path / name / f"{figure}.{suffix}").read_bytes() for name in ("a", "b")
        )
        assert first == second, suffix
    assert b"CreationDate" not in (tmp_path / "a" / f"{figure}.pdf").read_bytes()


def test_the_figure_s_numbers_are_those_of_the_frames(tmp_path: Path) -> None:
    made = frames()
    draw_overview(made, tmp_path, unit=100, currency="USD")
    drawn = pd.read_csv(tmp_path / "overview.csv")
    total = drawn.groupby("series")["value"].sum()
    assert total["liquidated_notional"] == pytest.approx(
        made["steps"]["liquidated_notional"].sum() / 100
    )
    assert total["closeouts_shown"] == pytest.approx(made["closeouts"]["notional"].sum() / 100)
    assert total["adl_notional"] == pytest.approx(made["steps"]["adl_notional"].sum() / 100)


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("steps", [1, 1000])
def test_figures_of_any_length(tmp_path: Path, figure: str, steps: int) -> None:
    assert (
        FIGURES[figure](frames(steps), tmp_path, unit=100, currency="USD")
        == tmp_path / f"{figure}.pdf"
    )


def drawn(tmp_path: Path, figure: str, made: dict[str, pd.DataFrame]) -> pd.DataFrame:
    FIGURES[figure](made, tmp_path, unit=100, currency="USD")
    return pd.read_csv(tmp_path / f"{figure}.csv")


def test_what_figures_show_beside_the_frames(tmp_path: Path) -> None:
    made = frames()
    steps, last = made["steps"], lambda table: table.groupby("series")["value"].last()
    held = last(drawn(tmp_path, "positions", made))
    assert held["open_interest"] == pytest.approx(steps["gross"].iloc[-1] / 200)
    assert held[["leverage", "initial", "maintenance"]].to_numpy() == pytest.approx(
        [4, 1 / 40, 1 / 80], rel=1e-6
    )
    assert (
        last(drawn(tmp_path, "losses", made))["absorbed_fund"]
        == made["losses"]["absorbed"].sum() / 100
    )
    spread = drawn(tmp_path, "liquidity", made).query("series == 'spread'")["value"].to_numpy()
    assert spread == pytest.approx(1 / steps["mid"].to_numpy())
    by_leverage = drawn(tmp_path, "leverage", made)
    assert by_leverage.groupby("moment")["notional"].sum().to_dict() == {
        "end": 560_000,
        "peak": 560_000,
    }
    assert by_leverage.groupby("moment")["notional"].last().to_dict() == {
        "end": 20_000,
        "peak": 20_000,
    }  # no equity
    profile = drawn(tmp_path, "profile", made)
    assert sorted(profile["step"].unique()) == list(range(10, 401, 10))
    assert last(profile)["at_risk -5%"] == 5e6
    assert last(profile)["R -5%"] == pytest.approx(0.7)


def test_nothing_recorded_is_said_and_drawn(tmp_path: Path) -> None:
    made = frames(50, losses=False)
    made["steps"]["feedback"] = np.nan
    made["profile"] = made["profile"].iloc[:0]
    made["steps"]["gross"] = 0
    made["accounts"] = made["accounts"][made["accounts"]["moment"] == "start"]
    for figure in FIGURES:
        drawn(tmp_path, figure, made)
    told = format_summary_table(made, unit=100, currency="USD", seconds=2.0)
    for line in (
        "Close-outs none",
        "Bankruptcies none",
        "Margin calls none",
        "Time 2.0 s, 25 steps/s",
    ):
        assert line in [" ".join(each.split()) for each in told.splitlines()]


def test_the_closing_table_is_aligned_and_short() -> None:
    lines = format_summary_table(frames(), unit=100, currency="USD", seconds=2.0).splitlines()
    assert len(lines) <= 25
    assert max(map(len, lines)) <= 100
    start = lines[0].index("-")
    assert all(line[start - 1] == " " != line[start] for line in lines)
    assert lines[1].startswith("Mark fall, worst")
    assert {"own margin", "insurance fund", "bad debt"} <= {line[2:start].strip() for line in lines}


def test_a_finished_result_whose_place_was_taken_meanwhile_is_kept(tmp_path: Path) -> None:
    final = tmp_path / "result"
    with ResultDraft(final) as draft:
        (draft.folder / "manifest.json").write_text("{}")
        final.mkdir()
        (final / "of another run").touch()
        with pytest.raises(OutputError, match="the finished result is kept in") as told:
            draft.commit()
    kept = Path(str(told.value).rsplit(" ", 1)[1])
    assert [path.name for path in kept.iterdir()] == ["manifest.json"]


FORMULAS = ("=1+1", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0", "-", "+x")
PLAIN = ("a", "-0.5", "+3", "1e-9", "'=1", "", "x=1", "\N{MINUS SIGN}0.5", "-inf")


def test_text_that_a_spreadsheet_would_run_is_escaped_and_numbers_are_not(tmp_path: Path) -> None:
    texts = [*FORMULAS, *PLAIN, None]
    table = pd.DataFrame(
        {"=label": pd.Series(texts, dtype=object), "value": -np.arange(float(len(texts)))}
    )
    table["kind"] = pd.Categorical(["-x"] * len(texts))
    table["mixed"] = pd.Series([1, "=2", -3.5, *[None] * (len(texts) - 3)], dtype=object)
    table["again"] = table["value"].astype(int)
    before = table.copy()
    write_csv(table, tmp_path / "x.csv")
    pd.testing.assert_frame_equal(table, before)
    again = pd.read_csv(tmp_path / "x.csv", keep_default_na=False, dtype=str, lineterminator="\n")
    assert list(again.columns) == ["'=label", "value", "kind", "mixed", "again"]
    assert again["'=label"].tolist() == [*(f"'{text}" for text in FORMULAS), *PLAIN, ""]
    assert set(again["kind"]) == {"'-x"}
    assert again["mixed"].tolist()[:4] == ["1", "'=2", "-3.5", ""]
    assert again["value"].astype(float).tolist() == table["value"].tolist()
    assert again["again"].tolist() == [str(value) for value in table["again"]]


def test_a_table_without_formulas_is_written_as_pandas_does(tmp_path: Path) -> None:
    table = frames(50)["steps"].assign(label=["x", None] * 25, twice=1.5)
    table.columns = [*table.columns[:-1], "label"]  # a name that is there twice
    write_csv(table, tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text() == table.to_csv(index=False, lineterminator="\n")
