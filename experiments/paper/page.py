"""Report as one HTML file: question, findings, figures, tables and provenance."""

import base64
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from experiments.config import RunConfig
from experiments.figures.overview import FIGURES
from experiments.figures.style import DPI, PAGE_WIDTH
from experiments.paper import run_tables, settings
from experiments.paper.latex import is_number_column
from experiments.paper.load_results import RunResult, StudyResult, find_base_config
from experiments.paper.tables import format_table, format_value
from experiments.results import provenance, store, summary_table
from sim.errors import DeleverageError

TEMPLATE = Path(__file__).with_name("page.html")
MODEL_PAGE = provenance.ROOT / "sim" / "README.md"
"""Description of the model by the ODD protocol."""
MAX_OPEN_ROWS = 24
"""Largest number of rows of a table that is not folded."""


class PageFigure(NamedTuple):
    """Figure of the page."""

    name: str
    caption: str
    data: str  # data URI
    width: float  # % of the page's width


class PageTable(NamedTuple):
    """Table of the page."""

    name: str
    caption: str
    columns: list[str]
    rows: list[list[str]]
    right: list[bool]

    @property
    def folded(self) -> bool:
        """True if the table is too long to be shown unfolded."""
        return len(self.rows) > MAX_OPEN_ROWS


class ResultPage(NamedTuple):
    """Content of the template."""

    title: str
    question: str
    findings: Markup  # findings, or the closing table of a run
    figures: list[PageFigure]
    tables: list[PageTable]
    missing: list[Sequence[str]]  # incomplete runs: setting, status, error
    problems: Sequence[str]  # unreadable files
    origin: list[tuple[str, str]]
    parameters: PageTable | None
    varied: list[tuple[str, str]]  # axes and their values
    model: Markup


def write_page(page: ResultPage, path: Path) -> None:
    """Write the HTML, which does not depend on the time of writing."""
    options: dict[str, Any] = {
        "trim_blocks": True,
        "lstrip_blocks": True,
        "undefined": jinja2.StrictUndefined,
    }
    environment = jinja2.Environment(autoescape=True, **options)
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(page._asdict())
    store.write_text(text + "\n", path)


def make_study_page(
    result: StudyResult, drawn: Path, tables: Mapping[str, pd.DataFrame], report: str
) -> ResultPage:
    """Make the page of a study.

    Args:
        result: result of the study.
        drawn: folder of its figures.
        tables: tidy tables, by name.
        report: Markdown, findings first.
    """
    words, base = result.table_labels, find_base_config(result)
    return ResultPage(
        title=result.study.name.replace("_", " ").capitalize(),
        question=result.study.description,
        findings=render_markdown(report.removeprefix("## Findings\n")),
        figures=[
            _embed_figure(path, words.make_caption(path.stem))
            for path in sorted(drawn.glob("*.png"))
        ],
        tables=[
            _make_table(name, words.make_caption(name), format_table(table, words))
            for name, table in tables.items()
        ],
        missing=_incomplete_runs(result),
        problems=result.problems,
        origin=[
            ("Replications", f"{result.scores['seed'].nunique():,}"),
            *_provenance_rows(result.about),
        ],
        parameters=None if base is None else _parameter_table(base),
        varied=[
            (axis.name, _format_values(result.scores[axis.name])) for axis in result.study.axes
        ],
        model=render_model(),
    )


def make_run_page(
    result: RunResult, drawn: Path, tables: Mapping[str, pd.DataFrame], problems: Sequence[str]
) -> ResultPage:
    """Make the page of a run.

    Args:
        result: result of the run.
        drawn: folder of its figures.
        tables: tidy tables, by name.
        problems: files that could not be read or made.
    """
    captions = {
        name: (draw.__doc__ or name).strip().splitlines()[0] for name, draw in FIGURES.items()
    }
    return ResultPage(
        title=result.config.name,
        question=result.config.description,
        findings=_closing_table(result),
        figures=[
            _embed_figure(path, captions[name])
            for name in FIGURES
            if (path := drawn / f"{name}.png").is_file()
        ],
        tables=_list_run_tables(tables),
        missing=[],
        problems=problems,
        origin=[("Seed", str(result.config.seed)), *_provenance_rows(result.about)],
        parameters=_parameter_table(result.config),
        varied=[],
        model=render_model(),
    )


def _list_run_tables(tables: Mapping[str, pd.DataFrame]) -> list[PageTable]:
    """Return a run's tables, without the closing table and the one that is too long for a page."""
    labels, omitted = run_tables.RUN_TABLE_LABELS, ("closing", run_tables.CRITICALITY_TABLE)
    return [
        _make_table(name, labels.make_caption(name), format_table(table, labels))
        for name, table in tables.items()
        if name not in omitted
    ]


def render_model() -> Markup:
    """Return the description of the model without its last section, the list of all parameters."""
    text = MODEL_PAGE.read_text(encoding="utf-8")
    return render_markdown(text.split("\n", 1)[1], below=1)


def render_markdown(text: str, below: int = 1) -> Markup:
    """Convert Markdown to HTML; links to local files become text, because the page stands alone.

    Args:
        text: Markdown; raw HTML in it is shown as text.
        below: number of levels by which headings are lowered.
    """
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + below, 6)}"
        if token.children:
            token.children = _remove_local_links(token.children)
    return Markup(reader.renderer.render(tokens, reader.options, {}))


def _remove_local_links(children: list[Token]) -> list[Token]:
    kept, open_links = [], []
    for token in children:
        if token.type == "link_open":
            open_links.append(str(token.attrs.get("href", "")).startswith(("http://", "https://")))
        is_local_link = token.type in ("link_open", "link_close") and not open_links[-1]
        dropped = token.type == "image" or is_local_link
        if token.type == "link_close":
            open_links.pop()
        if not dropped:
            kept.append(token)
    return kept


def _closing_table(result: RunResult) -> Markup:
    """Return the closing table, as far as the frames are available."""
    numeraire = result.config.assets[0]
    try:
        lines = summary_table.list_summary_lines(
            result.frames, unit=10**numeraire.decimals, currency=numeraire.name
        )
    except DeleverageError as error:
        return Markup("<p>No closing table: {}.</p>").format(error)
    row = Markup("<tr><th>{}</th><td>{}</td></tr>\n")
    rows = Markup("").join(row.format(*line) for line in lines)
    return Markup('<table class="closing">\n{}</table>').format(rows)


def _embed_figure(path: Path, caption: str) -> PageFigure:
    content = path.read_bytes()
    (pixels,) = struct.unpack(">I", content[16:20])  # width in a PNG's header
    width = min(round(100 * pixels / DPI / PAGE_WIDTH, 1), 100.0)
    data = "data:image/png;base64," + base64.b64encode(content).decode()
    return PageFigure(path.stem, caption, data, width)


def _make_table(name: str, caption: str, table: pd.DataFrame) -> PageTable:
    right = [is_number_column(table[column]) for column in table]
    return PageTable(name, caption, list(table.columns), table.to_numpy().tolist(), right)


def _parameter_table(config: RunConfig) -> PageTable:
    return _make_table(
        "parameters", f"Parameters of {config.name}", settings.tabulate_parameters(config)
    )


def _incomplete_runs(result: StudyResult) -> list[Sequence[str]]:
    if "status" not in result.runs:
        return []
    lost = result.runs[result.runs["status"] != "complete"]
    names = [axis.name for axis in result.study.axes]
    return [
        (
            ", ".join(f"{name} {format_value(line[name])}" for name in (*names, "seed", "role")),
            line["status"],
            line["error"] or "",
        )
        for _, line in lost.iterrows()
    ]


def _format_values(column: "pd.Series[Any]") -> str:
    values = column.unique().tolist()
    if len(values) > MAX_OPEN_ROWS:
        return f"{len(values)} values from {min(values):g} to {max(values):g}"
    return ", ".join(value if isinstance(value, str) else f"{value:g}" for value in values)


def _provenance_rows(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the entries of a manifest with readable labels; missing ones are left out."""
    git = about.get("git") or {}
    commit = None
    if git:
        commit = f"{git['commit']}, with changes not committed" if git["dirty"] else git["commit"]
    entries = {
        "Version": about.get("version"),
        "Commit": commit,
        "Command": " ".join(about.get("command", ())),
        "Configuration": about.get("config_hash"),
        "Runs": _format_pairs(about.get("runs")),
        "Status": about.get("status"),
        "Root seed": about.get("root_seed"),
        "Data": _format_pairs(about.get("data")),
        "Python": about.get("python"),
        "Packages": _format_pairs(about.get("packages")),
        "Platform": about.get("platform"),
        "Threads": _format_pairs(about.get("threads")),
        "Time (s)": about.get("elapsed_s"),
        "Peak memory (MB)": about.get("peak_memory_mb"),
    }
    return [(name, str(value)) for name, value in entries.items() if value not in (None, "")]


def _format_pairs(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {entry}" for key, entry in value.items())
    return str(value or "")
