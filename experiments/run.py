"""One run: build the market, step it, write what it left behind."""

import signal
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agents import populate
from experiments import plugins
from experiments.config import RunConfig
from experiments.figures.overview import FIGURES
from experiments.price_files.bars import read_replays
from experiments.results import identity, provenance, store, summary_table
from sim.errors import ConfigError, DataError, DeleverageError
from sim.margin.learned.learned import list_fallback_events
from sim.market import Market
from sim.metrics.cascades import Frames
from sim.prices.bars import Bars

COMPLETE, INTERRUPTED = "complete", "interrupted"

MANIFEST = "manifest.json"


class RunError(DeleverageError):
    """A run that stopped by itself; ``path`` holds the traceback, unless that could not be written."""

    def __init__(self, message: str, path: Path | None) -> None:
        super().__init__(message)
        self.path = path


class RunOutcome(NamedTuple):
    """What became of a run."""

    folder: Path
    status: str  # complete or interrupted
    summary: dict[str, Any]
    summary_table: str  # table for the reader; empty if no step was made


def execute_run(
    config: RunConfig,
    *,
    seed: int | None = None,
    out: Path | None = None,
    overwrite: bool = False,
    quiet: bool = True,
) -> RunOutcome:
    """Run one market and write its result folder.

    Args:
        config: left as it is.
        seed: root seed in place of the configuration's.
        out: result folder; none = ``results/NAME-CONFIGHASH``.
        overwrite: replace a result that is there already.
        quiet: no progress on stderr.

    Raises:
        ConfigError, DataError: what the configuration names cannot be built.
        OutputError: a result is there already, or the place cannot hold one.
        WriteError: a write failed; what was written before is kept beside the place, and named.
        RunError: building the market or a step failed; the traceback is in the result's ``failed/``.
    """
    config = config if seed is None else config.model_copy(update={"seed": seed})
    bars = read_replays(config.underlyings)
    plain, digests = (
        config.model_dump(mode="json"),
        {name: each.digest for name, each in bars.items()},
    )
    code = identity.describe_code(plugins.list_plugins())
    name = store.hash_config(plain, identity.compute_digest(code), digests)
    final = out if out is not None else Path("results") / f"{config.name}-{name}"
    with store.ResultDraft(final, overwrite=overwrite) as draft:
        began = time.perf_counter()
        market, status = _simulate(config, bars, draft, quiet)
        summary = {
            "status": status,
            "money": _format_money_unit(market),
            **market.recorder.summary(),
        }
        record = {"config_hash": name, "data": digests, "seed": config.seed, "status": status}
        try:
            frames = _write_result(market, draft.folder, (plain, name), summary)
            elapsed = record["elapsed_s"] = round(time.perf_counter() - began, 3)
            record |= {
                **provenance.describe_process(),
                "code": code,
                "sources": identity.hash_sources(),
            }
            record |= {
                "plugins": {each: plugins.get_file_digests(each) for each in plugins.list_plugins()}
            }
            _write_manifest(record, draft.folder)
            _draw_figures(market, frames, draft.folder)
            _write_manifest(record, draft.folder)
        except OSError:
            raise
        except Exception as error:
            raise _build_run_error(
                f"{config.name}: {draft.keep_partial()}", config.seed, draft, error
            ) from error
        draft.commit()
    return RunOutcome(final, status, summary, _format_summary(market, frames, elapsed))


def _simulate(
    config: RunConfig, bars: Mapping[str, Bars], draft: store.ResultDraft, quiet: bool
) -> tuple[Market, str]:
    """The market after its last step, and whether that was the planned one."""
    place = "building"
    try:
        market = Market(config, populate(config.populations), seed=config.seed, bars=bars)
        place = ""
        return market, _advance(market, config.name, quiet)
    except (ConfigError, DataError):
        raise
    except Exception as error:
        place = place or f"step {market.tick} of {market.steps_planned}"
        raise _build_run_error(f"{config.name}: {place}", config.seed, draft, error) from error


def _build_run_error(place: str, seed: int, draft: store.ResultDraft, error: Exception) -> RunError:
    """The error to raise after its traceback is written, if it can be."""
    told = f"{place}: {type(error).__name__}: {_first_line(error)}"
    try:
        return RunError(told, draft.write_traceback(f"seed-{seed}", traceback.format_exc()))
    except store.WriteError as unwritten:
        return RunError(f"{told}; its traceback is lost: {unwritten}", None)


def _advance(market: Market, name: str, quiet: bool) -> str:
    """Step to the end, or to the step in which the user interrupts."""
    with _catch_interrupts() as interrupted, _create_progress_bar(quiet) as progress:
        task = progress.add_task(name, total=market.steps_planned)
        while market.tick < market.steps_planned and not interrupted:
            market.step()
            progress.advance(task)
    market.recorder.record_accounts("end")
    return INTERRUPTED if interrupted else COMPLETE


@contextmanager
def _catch_interrupts() -> Iterator[list[int]]:
    """Collects the first interrupt so that the step under way ends whole; a second one stops at once."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def handle(number: int, frame: Any) -> None:
        caught.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield caught
    finally:
        signal.signal(signal.SIGINT, before)


def _create_progress_bar(quiet: bool) -> Progress:
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(
        *columns, console=console, disable=quiet or not console.is_terminal, transient=True
    )


def _write_result(
    market: Market, folder: Path, named: tuple[dict[str, Any], str], summary: dict[str, Any]
) -> Frames:
    """Configuration, which is given with its hash, frames, summary and events."""
    frames, (plain, digest) = market.recorder.frames(), named
    store.write_yaml(plain, folder / "config.resolved.yaml")
    about = {
        "config": store.dump_canonical_json(plain),
        "config_hash": digest,
        "version": provenance.read_version(),
    }
    for name, frame in frames.items():
        store.write_frame(frame, folder / f"{name}.parquet", about)
    store.write_json(summary, folder / "summary.json")
    if events := _list_learning_events(market):
        store.write_json(events, folder / "events.json")
    return frames


def _write_manifest(record: Mapping[str, Any], folder: Path) -> None:
    """Write the manifest with the checksums of all files that are there; once before figures are drawn, once after."""
    files = {name: digest for name, digest in store.hash_files(folder).items() if name != MANIFEST}
    store.write_json({**record, "files": files}, folder / MANIFEST)


def _draw_figures(market: Market, frames: Frames, folder: Path) -> None:
    """Figures come last: what they are drawn from is written by then."""
    numeraire = market.config.assets[0]
    if len(frames["steps"]):
        (folder / "figures").mkdir()
        for draw in FIGURES.values():
            draw(frames, folder / "figures", unit=10**numeraire.decimals, currency=numeraire.name)


def _list_learning_events(market: Market) -> list[dict[str, Any]]:
    """When learned margin began to predict, and when it fell back (MAR-9)."""
    return [
        {"venue": venue.config.name, "pool": number, "step": event.row, "reason": event.reason}
        for venue in market.venues
        for number, state in venue.pool_states.items()
        for event in list_fallback_events(state.engine.requirement)
    ]


def _format_summary(market: Market, frames: Frames, seconds: float) -> str:
    numeraire = market.config.assets[0]
    if not len(frames["steps"]):
        return ""
    return summary_table.format_summary_table(
        frames, unit=10**numeraire.decimals, currency=numeraire.name, seconds=seconds
    )


def _format_money_unit(market: Market) -> str:
    """What a unit of money in results is worth, such as ``0.01 USD``."""
    numeraire = market.config.assets[0]
    return f"{10.0**-numeraire.decimals:g} {numeraire.name}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0]
