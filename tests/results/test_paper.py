"""Figures, tables and reports remade from results; damaged or outdated files are named."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from crowd import TRADING
from typer.testing import CliRunner, Result

from experiments.cli import app
from experiments.config import RunConfig, load_run
from experiments.figures.overview import FIGURES
from experiments.paper import figures, latex, settings
from experiments.paper.page import render_markdown
from experiments.paper.tables import TableLabels, format_table, format_value
from experiments.results import provenance, store
from experiments.run import execute_run
from experiments.studies import leverage_caps
from experiments.sweep.config import load_study

SHORT = [
    "duration=3600",
    "profile_every=0",
    "stresses=[{kind: move, at: 1800, duration: 300, size: -0.1}]",
]


def call(*words: object) -> Result:
    return CliRunner().invoke(app.app, [str(word) for word in words])


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder, figures and all."""
    config = load_run("flash_crash", [*SHORT, f"populations={json.dumps(TRADING)}"])
    return execute_run(config, out=tmp_path_factory.mktemp("one") / "run").folder


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study's folder as a sweep leaves it, with scores that were never simulated."""
    folder = tmp_path_factory.mktemp("swept") / "leverage_caps"
    folder.mkdir()
    study = load_study("leverage_caps")
    store.write_yaml(study.model_dump(mode="json"), folder / "study.resolved.yaml")
    generator = np.random.default_rng(1)
    settings = [
        (e, cap, seed) for seed in range(1, 6) for e in (0.0, 1.0) for cap in (10.0, 50.0, 100.0)
    ]
    scores = pd.DataFrame(settings, columns=["elasticity", "cap", "seed"])
    for name in leverage_caps.WORDS:
        scores[name] = scores["cap"] / 100 * (1 + generator.normal(0, 0.1, len(scores)))
    scores["any_deleveraged"] = scores["cap"] > 60
    about = {"version": provenance.read_version()}
    store.write_frame(scores, folder / "scores.parquet", about)
    runs = scores[["elasticity", "cap", "seed"]].assign(
        role="base", hash="none", status="complete", error=None
    )
    runs.loc[2, ["status", "error"]] = ["failed", "ValueError: <b>as it was</b>"]
    store.write_frame(runs, folder / "runs.parquet", about)
    store.write_json(
        {"runs": {"complete": 29, "failed": 1}, **provenance.describe_process()},
        folder / "manifest.json",
    )
    return folder


@pytest.fixture
def study(swept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(swept, tmp_path / "leverage_caps"))


@pytest.fixture
def run(one: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(one, tmp_path / "run"))


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_report_made_again_is_the_same_bytes(study: Path, tmp_path: Path) -> None:
    assert call("report", study).exit_code == 0
    assert call("report", study, "--out", tmp_path / "again").exit_code == 0
    for name in ("figures", "tables"):
        assert bytes_in(study / name) == bytes_in(tmp_path / "again" / name)
    assert (study / "report.html").read_bytes() == (tmp_path / "again" / "report.html").read_bytes()


class Reader(HTMLParser):
    """Collects what a browser would fetch, anchors, and whether tags are balanced."""

    VOID = ("meta", "img", "br", "hr", "link", "input")

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: set[str] = set()
        self.anchors: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        self.fetched += [str(held[name]) for name in ("src", "data") if name in held]
        self.fetched += [str(held["href"])] if tag == "link" else []
        self.anchors += (
            [str(held["href"])[1:]] if tag == "a" and str(held["href"]).startswith("#") else []
        )
        self.ids |= {str(held["id"])} if "id" in held else set()
        self.open += [] if tag in self.VOID else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(path: Path) -> tuple[Reader, str]:
    text = path.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader, text


def test_the_report_stands_alone_and_has_all_its_parts(study: Path) -> None:
    assert call("report", study).exit_code == 0
    reader, text = read(study / "report.html")
    assert reader.fetched
    assert all(uri.startswith("data:image/png;base64,") for uri in reader.fetched)
    assert set(reader.anchors) <= reader.ids
    assert "@import" not in text
    assert "url(" not in text
    for part in (
        "Does a higher leverage cap alone break the market",
        "means with 95% confidence intervals",
        "Table 2.",
        "Figure 1.",
    ):
        assert part in text
    assert (
        provenance.describe_process()["git"]["commit"] in text
        if provenance.describe_process()["git"]
        else True
    )
    assert "1 Purpose and patterns" in text, "the ODD text"
    assert "venues.0.engine.requirement.tiers.0.max_leverage" in text, "parameters of the base"
    assert "elasticity 0, cap 100, seed 1, role base" in text, "a run that failed"
    assert "ValueError: &lt;b&gt;as it was&lt;/b&gt;" in text, "its message is not markup"


def test_the_report_of_a_run_and_its_figures_made_again(run: Path) -> None:
    before = bytes_in(run / "figures")
    found = call("report", run)
    assert found.exit_code == 0, found.output
    assert bytes_in(run / "figures") == before, "the same bytes from its files as from memory"
    assert len(found.output.splitlines()) == len(before) + 1
    reader, text = read(run / "report.html")
    assert len(reader.fetched) == len(list((run / "figures").glob("*.png")))
    assert "Index fall, worst" in text
    assert str(load_run(run / "config.resolved.yaml").seed) in text


def test_every_figure_comes_from_the_scores(study: Path) -> None:
    """Another score, another cell in CSV, LaTeX, Markdown, HTML and picture."""
    assert call("report", study).exit_code == 0
    before = {
        path: path.read_bytes()
        for path in study.rglob("*.*")
        if path.parent.name in ("tables", "figures")
    }
    scores = pd.read_parquet(study / "scores.parquet")
    cell = (scores["elasticity"] == 1) & (scores["cap"] == 50)
    scores.loc[cell, ["deleveraged", "taken_over", "amplification"]] = 0.777777
    store.write_frame(scores, study / "scores.parquet", {"version": provenance.read_version()})
    assert call("report", study).exit_code == 0
    assert [path for path, held in before.items() if path.read_bytes() == held] == []
    assert "77.78" in (study / "report.html").read_text(encoding="utf-8")
    assert "77.78" in (study / "report.md").read_text(encoding="utf-8")
    assert "77.78" in (study / "tables" / "estimates.tex").read_text(encoding="utf-8")


def test_metrics_with_precision_and_against_a_reference(study: Path) -> None:
    found = call(
        "tables",
        study,
        "--metric",
        "deleveraged",
        "--metric",
        "any_deleveraged",
        "--against",
        "cap=10",
    )
    assert found.exit_code == 0, found.output
    table = pd.read_csv(study / "tables" / "requested.csv").set_index(
        ["elasticity", "cap", "measure"]
    )
    line = table.loc[1.0, 50.0, "deleveraged"]
    assert line["half_width"] == pytest.approx((line["high"] - line["low"]) / 2)
    assert line["relative"] == pytest.approx(line["half_width"] / line["mean"])
    assert table.loc[1.0, 50.0, "any_deleveraged"]["further"] == 11, (
        "of none in 5, z² / .2 - z² = 15.4 in all"
    )
    compared = pd.read_csv(study / "tables" / "against.csv")
    assert compared["cap"].unique().tolist() == [50, 100]
    assert compared["versus"].eq(10).all()
    assert (compared["p_holm"] >= compared["p"]).all()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--metric", "bad_dept"], "--metric: 'bad_dept' is not one of"),
        (["--metric", "cap"], "--metric: 'cap' is not one of"),
        (
            ["--metric", "deleveraged", "--against", "kap=10"],
            "--against: 'kap' is not one of elasticity, cap",
        ),
        (["--against", "kap=10"], "--against: 'kap' is not one of elasticity, cap"),
        (
            ["--against", "cap=10"],
            "--against: the study names no metrics to compare, name some with --metric",
        ),
        (
            ["--metric", "deleveraged", "--against", "cap=11"],
            "--against: cap: '11' is not one of 10, 50, 100",
        ),
    ],
)
def test_unknown_metrics_and_references_are_named(
    study: Path, options: list[str], expected: str
) -> None:
    found = call("tables", study, *options)
    assert found.exit_code == 2
    assert expected in found.output
    assert not (study / "tables").exists()


def test_metrics_with_runs_missing_and_with_words(study: Path) -> None:
    """A truth value that some runs lack is a probability of the others; words have no mean."""
    scores = pd.read_parquet(study / "scores.parquet")
    happened = scores["any_deleveraged"].astype(object).where(scores["seed"] != 2, None)
    scores = scores.assign(any_deleveraged=happened, comment="word")
    store.write_frame(scores, study / "scores.parquet", {"version": provenance.read_version()})
    resolved = study / "study.resolved.yaml"
    resolved.write_text(
        resolved.read_text().replace("metrics: []", "metrics: [any_deleveraged, comment]")
    )
    assert "any_deleveraged" in resolved.read_text()
    found = call("tables", study)
    assert found.exit_code == 0, found.output
    table = pd.read_csv(study / "tables" / "metrics.csv")
    assert table["measure"].unique().tolist() == ["any_deleveraged"]
    assert table["n"].eq(4).all()
    assert table.set_index(["elasticity", "cap"]).loc[1.0, 100.0]["mean"] == 1


def test_tables_of_a_run_tell_its_quality_and_contagion(run: Path) -> None:
    """No R without profile: its table is left out; what a market this short cannot show is, too."""
    done = call("tables", run)
    assert done.exit_code == 0
    made = {path.stem for path in (run / "tables").glob("*.csv")}
    assert {"closing", "origins", "quality", "health", "facts"} <= made
    assert "edge" not in made
    quality = pd.read_csv(run / "tables" / "quality.csv").set_index("measure")["value"]
    assert quality["spread_peak"] >= 1
    assert quality["depth_trough"] <= 1
    assert pd.read_csv(run / "tables" / "origins.csv")["mean"].sum() == pytest.approx(1)
    (run / "causes.parquet").unlink()
    told = call("tables", run)
    assert told.exit_code == 2
    assert "tables/origins: not made, causes: no such frame, contagion needs it" in told.output
    assert {"origins", "closing"} & {path.stem for path in (run / "tables").glob("*.csv")} == {
        "closing"
    }


def test_a_folder_that_is_no_result(tmp_path: Path, run: Path) -> None:
    for command in ("figures", "tables", "report"):
        assert call(command, tmp_path / "nowhere").exit_code == 2
        found = call(command, tmp_path)
        assert found.exit_code == 2
        assert (
            "no result, holds neither study.resolved.yaml nor config.resolved.yaml" in found.output
        )
    assert "results" not in call("figures", run / "figures").output.split(":")[0]


def test_a_sweep_that_was_cut_off_says_how_to_go_on(study: Path) -> None:
    (study / "scores.parquet").unlink()
    found = call("report", study)
    assert found.exit_code == 2
    assert (
        "no run has been scored yet, start deleverage sweep with this folder again" in found.output
    )


def test_results_of_another_version_are_refused(study: Path, run: Path) -> None:
    store.write_frame(
        pd.read_parquet(study / "scores.parquet"), study / "scores.parquet", {"version": "9.9.9"}
    )
    manifest = json.loads((run / "manifest.json").read_text()) | {"version": "9.9.9"}
    (run / "manifest.json").write_text(json.dumps(manifest))
    for folder in (study, run):
        found = call("report", folder)
        assert found.exit_code == 2
        assert f"made by deleverage 9.9.9, this is {provenance.read_version()}" in found.output
        assert not (folder / "report.html").exists()


def test_a_result_that_says_no_version_is_refused(run: Path) -> None:
    (run / "manifest.json").unlink()
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(
        json.dumps({key: value for key, value in summary.items() if key != "version"})
    )
    found = call("report", run)
    assert found.exit_code == 2
    assert "does not record which version made it" in found.output


def test_a_damaged_frame_is_named_and_the_others_used(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        figures, "FIGURES", {name: FIGURES[name] for name in ("losses", "leverage")}
    )
    (run / "accounts.parquet").write_bytes(b"PAR1 not any more")
    found = call("report", run, "--out", tmp_path / "out")
    assert found.exit_code == 2
    assert re.search(r"accounts\.parquet: cannot be read \(.+\), make the run again", found.output)
    assert (
        "figures/leverage: not drawn, accounts.parquet is not there or cannot be read"
        in found.output
    )
    drawn = {path.stem for path in (tmp_path / "out" / "figures").iterdir()}
    assert drawn == {"losses"}
    assert "accounts.parquet: cannot be read" in (tmp_path / "out" / "report.html").read_text(
        encoding="utf-8"
    )


def test_a_damaged_list_of_runs_leaves_the_scores(study: Path) -> None:
    (study / "runs.parquet").write_bytes(b"")
    (study / "manifest.json").write_text("{")
    found = call("tables", study)
    assert found.exit_code == 2
    assert "runs.parquet: cannot be read" in found.output
    assert "manifest.json: cannot be read" in found.output
    assert (study / "tables" / "estimates.tex").is_file()
    (study / "scores.parquet").write_bytes(b"PAR1")
    found = call("tables", study)
    assert found.exit_code == 2
    assert "scores.parquet: cannot be read" in found.output
    assert "start deleverage sweep with this folder again" in found.output


def test_a_study_file_of_something_else(study: Path) -> None:
    (study / "study.resolved.yaml").write_text("name: leverage_caps\nfoo: 1\n")
    found = call("report", study)
    assert found.exit_code == 2
    assert "study.resolved.yaml: is no study of this version" in found.output


def test_cells_of_a_table() -> None:
    frame = pd.DataFrame(
        {"cap": [10.0], "measure": ["bad_debt"], "n": [30], "mean": [0.012], "low": [0.01]}
    )
    frame = frame.assign(high=[0.014], p=[0.0004], ok=[True], further=[np.nan])
    found = format_table(
        frame, TableLabels({"bad_debt": ("bad debt, %", 100), "cap": ("leverage cap", 1)})
    )
    assert list(found.columns) == [
        "leverage cap",
        "measure",
        "n",
        "mean (95% CI)",
        "p",
        "ok",
        "further",
    ]
    assert found.iloc[0].tolist() == [
        "10",
        "bad debt, %",
        "30",
        "1.20 (1.00 to 1.40)",
        "<0.001",
        "yes",
        "none",
    ]
    told = format_table(frame.assign(versus=[5.0]))["mean (95% CI)"].iloc[0]
    assert told == "+0.0120 (+0.0100 to +0.0140)", "differences have a sign"
    assert [
        format_value(each)
        for each in (-1234.0, 0.00012345, float("-inf"), pd.Timestamp("2008-10-13"))
    ] == [
        "\N{MINUS SIGN}1,234",
        "0.0001234",
        "\N{MINUS SIGN}\N{INFINITY}",
        "2008-10-13",
    ]


def test_what_a_sentence_says_has_no_columns_of_its_own() -> None:
    frame = pd.DataFrame(
        {"engine": ["a"], "half_at": [1.5], "half_low": [1.2], "half_verdict": ["reached"]}
    )
    frame = frame.assign(half=["1.5 (1.2 to 1.7)"], half_p_monotone=[0.4], other_low=[1.0])
    found = format_table(frame, TableLabels({"half": ("κ* where P = ½", 1)}))
    assert list(found.columns) == ["engine", "κ* where P = ½", "half p monotone", "other low"]


def test_latex_is_booktabs_and_says_what_it_means() -> None:
    frame = pd.DataFrame({"rule_a": ["κ* & ε ≤ 1%", "b_c"], "n": ["30", "<5"]})
    text = latex.format_float(frame, caption="100% of {it}", label="x:y")
    assert text.splitlines() == [
        r"\begin{table}",
        r"\centering",
        r"\caption{100\% of \{it\}}\label{tab:x:y}",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"rule\_a & n \\",
        r"\midrule",
        r"$\kappa$* \& $\varepsilon$ $\leq$ 1\% & 30 \\",
        r"b\_c & \textless{}5 \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    long = latex.format_float(
        pd.DataFrame({"n": [str(n) for n in range(99)]}), caption="c", label="l"
    )
    assert long.count(r"\toprule") == 2
    assert long.rstrip().endswith(r"\end{longtable}")


def test_every_table_of_a_study_is_latex_of_even_rows(study: Path) -> None:
    assert call("tables", study).exit_code == 0
    for path in (study / "tables").glob("*.tex"):
        text = path.read_text(encoding="utf-8")
        assert text.isascii()
        assert text.count("{") == text.count("}")
        rows = [
            line
            for line in text.splitlines()
            if line.endswith(r"\\") and not line.startswith(r"\caption")
        ]
        assert len({len(re.findall(r"(?<!\\)&", line)) for line in rows}) == 1
        assert "n &" in rows[0]
        assert "95\\% CI" in rows[0]


def test_markdown_loses_links_that_lead_beside_the_page() -> None:
    text = render_markdown(
        "# A\n\n[here](../x.md) and [there](https://a.org) <script>x</script> ![p](q.png)"
    )
    assert text.startswith("<h2>A</h2>")
    assert "here and" in text
    assert '<a href="https://a.org">there</a>' in text
    assert "&lt;script&gt;" in text
    assert "<img" not in text


def test_all_parameters_are_listed_with_what_they_mean() -> None:
    config = load_run("flash_crash")
    table = settings.tabulate_parameters(config).set_index("parameter")
    assert table.loc["dt", "value"] == f"{config.dt:g}"
    assert table.loc["populations.0.count", "value"] == str(config.populations[0].count)
    assert table.loc["venues.0.engine.requirement", "value"] == "tiered"
    assert table["meaning (unit)"].ne("").all()
    plain_text = RunConfig.model_validate(config.model_dump(mode="json"))
    assert settings.tabulate_parameters(plain_text).equals(settings.tabulate_parameters(config))
