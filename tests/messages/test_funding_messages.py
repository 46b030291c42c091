"""Messages of wrong funding files: each is raised, and the remedy that it names is tried."""

from pathlib import Path

import numpy as np
import pytest

from experiments.cautions import cautions
from experiments.config import RunConfig, load_run
from experiments.funding_file import read_rates
from sim.errors import ConfigError, DataError
from sim.exchange.funding_recorded import Recorded

GOOD = "time,rate\n60,0.01\n120,0.02\n180,0.03"
STILL = np.empty(0, dtype="datetime64[s]")

FILES: list[tuple[str, str, str]] = [
    ("x,rate\n60,0.01", "no column of times among x, rate; one is needed: name it 'time'", "time,rate\n60,0.01"),
    ("time,paid\n60,0.01", "no column of rates among time, paid; one is needed: name it 'rate'", "time,rate\n60,0.01"),
    (
        "time,Rate,rate\n60,0.01,0.01",
        "2 columns of rates (Rate, rate); one is needed: drop the others",
        "time,rate\n60,0.01",
    ),
    ("time,rate", "0 rows, at least one payment is needed: add rows", GOOD),
    ("time,rate\n60,0.01\n60,0.02", "row 1: time '60' does not come after the one before: drop the repeat", GOOD),
    ("time,rate\n60,1\n180,2\n120,0", "row 2: time '120' does not come after the one before: sort the rows", GOOD),
    ("time,rate\n60,0.01\n120,x", "row 1: rate 'x' is not a number: correct it, or fill or drop the row", GOOD),
    (
        "time,rate\n60,0.01\n120,0.02%",
        "row 1: rate '0.02%' is not a number: write all rates in percent or none",
        "time,rate\n60,0.01%\n120,0.02%",
    ),
    (
        "time,rate\n2008-09-15,0.01\nnoon,0.02",
        "row 1: 'noon' is not a date such as 2008-09-15: correct it",
        "time,rate\n2008-09-15,0.01\n2008-09-16,0.02",
    ),
    (
        "time,rate,symbol\n60,0.01,A\n120,0.02,B",
        "row 1: symbol 'B' after 'A', 2 in all; a file holds one series: write a file of each",
        "time,rate,symbol\n60,0.01,A\n120,0.02,A",
    ),
]


@pytest.mark.parametrize(("wrong", "told", "mended"), FILES)
def test_the_remedy_of_a_wrong_funding_file_works(tmp_path: Path, wrong: str, told: str, mended: str) -> None:
    file = tmp_path / "rates.csv"
    file.write_text(wrong)
    with pytest.raises(DataError) as raised:
        read_rates(str(file))
    assert str(raised.value) == f"{file}: {told}"
    file.write_text(mended)
    assert read_rates(str(file))[1]


RATES: list[tuple[str, str, str]] = [
    ("[[60, 0.1], [60, 0.2]]", "rates.1: 60 s repeats the time before, drop one", "[[60, 0.1]]"),
    (
        "[[60, 0.1], [50, 0.2]]",
        "rates.1: 50 s is earlier than the time before, sort them",
        "[[50, 0.2], [60, 0.1]]",
    ),
    (
        "[[60, 3]]",
        "rates.0: 3, a rate is a share of notional below 1, divide percent by 100",
        "[[60, 0.03]]",
    ),
]


@pytest.mark.parametrize(("wrong", "told", "mended"), RATES)
def test_the_remedy_of_wrong_rates_works(wrong: str, told: str, mended: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_run("small_crash", [f"venues.0.funding={{kind: recorded, rates: {wrong}}}"])
    assert str(raised.value) == f"venues.0.funding.{told}"
    config = load_run("small_crash", [f"venues.0.funding={{kind: recorded, rates: {mended}}}"])
    assert RunConfig.model_validate_json(config.model_dump_json(), strict=True) == config


@pytest.mark.parametrize(
    ("wrong", "told", "mended"),
    [
        ((), "funding.rates: none, a recorded funding needs them: give rates, or a file as source", ((60, 0.1),)),
        (
            ((9_000, 0.1), (9_060, 0.1)),
            "funding.rates: from 9000 s to 9060 s, none in the run's 0 s to 600 s: choose a file of the same time",
            ((60, 0.1),),
        ),
    ],
)
def test_the_remedy_of_rates_beside_the_run_works(wrong: object, told: str, mended: object) -> None:
    with pytest.raises(ConfigError) as raised:
        Recorded.model_validate({"rates": wrong}).begin(STILL, 600.0)
    assert str(raised.value) == told
    Recorded.model_validate({"rates": mended}).begin(STILL, 600.0)


@pytest.mark.parametrize(
    ("times", "told"),
    [
        (range(60, 601, 60), ""),
        (range(60, 541, 60), "end at 540 s, the run at 600 s"),
        (range(120, 601, 60), "begin at 120 s, the run at 0 s"),
        (range(180, 601, 60), "begin at 180 s, the run at 0 s"),
        (range(180, 421, 60), "begin at 180 s, the run at 0 s and end at 420 s, the run at 600 s"),
    ],
)
def test_rates_that_do_not_reach_the_whole_run_are_told(times: range, told: str) -> None:
    rule = Recorded(rates=tuple((float(time), 0.001) for time in times))
    found = rule.unpaid(STILL, 600.0)
    assert found == (f"rates {told}: nothing is paid in between, add the rates of that time" if told else "")


def test_a_funding_file_that_ends_before_its_run_is_told(tmp_path: Path) -> None:
    """Dated rates on a replay: a warning at load, which is gone once the later rates are there."""
    file = tmp_path / "rates.csv"
    words = [f"venues.0.funding={{kind: recorded, source: {file}}}"]
    days = ("2008-09-15", "2008-09-16", "2008-09-17", "2008-09-18")
    for several, told in ((days[:2], True), (days, False)):
        stamps = [f"{day} {hour:02d}:00" for day in several for hour in range(10, 17)]
        file.write_text("\n".join(["time,rate", *(f"{stamp},0.0001" for stamp in stamps)]))
        config = load_run("crash_2008", words, quick=True)
        lines = [line for line in cautions(config) if "nothing is paid in between" in line]
        assert bool(lines) is told, lines
        if told:
            assert lines[0].startswith(
                "venues.0.funding: rates end at 2008-09-16T16:00:00, the run at 2008-09-18T15:59"
            )
