"""Execution of one run: build the market, simulate it and write the result folder."""

import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agents import populate
from experiments import plugins
from experiments.accounts.records import build_owner_frame, describe_opening, summarise_opening
from experiments.config import RunConfig
from experiments.figures.parallel import Helper, RunFiles, draw_figures
from experiments.imports import pause_garbage_collection
from experiments.price_files.bars import read_replays
from experiments.results import identity, provenance, store
from experiments.results.checksums import MANIFEST
from experiments.simulation import iterate_batches
from sim.errors import ConfigError, DataError, DeleverageError
from sim.margin.learned.learned import list_fallback_events
from sim.market import Market
from sim.metrics.cascades import Frames
from sim.prices.bars import Bars

COMPLETE, INTERRUPTED = "complete", "interrupted"


class RunError(DeleverageError):
    """A run failed; ``path`` is the file of the traceback, None if it could not be written."""

    def __init__(self, message: str, path: Path | None) -> None:
        super().__init__(message)
        self.path = path


class RunOutcome(NamedTuple):
    """Outcome of a run."""

    folder: Path
    status: str  # complete or interrupted
    summary: dict[str, Any]
    summary_table: str  # text for the terminal; empty if no step was made
    market: Market  # after its last step
    frames: Frames
    notices: tuple[str, ...] = ()  # about a table of accounts with which it began


class RunOptions(NamedTuple):
    """Options of a run on which its data do not depend."""

    overwrite: bool = False  # replace an existing result
    quiet: bool = True  # show no progress on stderr
    plain: bool = False  # make steps by the plain phases instead of compiled code
    helper: Helper | None = None  # process that draws some of the figures


DEFAULT = RunOptions()


class RunIdentity(NamedTuple):
    """Configuration, code and data that determine a result."""

    config: dict[str, Any]  # resolved configuration as plain data
    code: identity.CodeFacts
    data: dict[str, str]  # digests of replayed data, by underlying
    config_hash: str


def execute_run(
    config: RunConfig, *, out: Path | None = None, options: RunOptions = DEFAULT
) -> RunOutcome:
    """Run one market and write its result folder.

    Args:
        config: configuration of the run, not changed.
        out: result folder; None = ``results/NAME-CONFIGHASH``.
        options: how the run is made.

    Raises:
        ConfigError, DataError: the market cannot be built from the configuration.
        OutputError: a result exists already, or the path cannot hold one.
        WriteError: a write failed; files written before are kept beside the path, and named.
        RunError: building the market or a step failed; the traceback is in ``failed/``.
    """
    bars = read_replays(config.underlyings, config.history)
    identified = _identify_run(config, bars)
    name = f"{config.name}-{identified.config_hash}"
    final = out if out is not None else Path("results") / name
    with store.ResultDraft(final, overwrite=options.overwrite) as draft:
        began = time.perf_counter()
        market, status = _simulate(
            config, bars, draft, lambda made: _advance(made, config.name, options)
        )
        summary = {
            "status": status,
            "money": _format_money_unit(market),
            **market.recorder.summary(),
            **summarise_opening(market),
        }
        try:
            frames = _write_result(market, draft.folder, identified, summary)
            elapsed = round(time.perf_counter() - began, 3)
            record = _describe_result(identified, config.seed, status, elapsed)
            _write_manifest(record, draft.folder)
            with pause_garbage_collection():  # figures are many objects, and few of them go
                _draw_figures(market, frames, draft.folder, options.helper)
            _write_manifest(record, draft.folder)
        except OSError:
            raise
        except Exception as error:
            raise _build_run_error(config, draft.keep_partial(), draft, error) from error
        draft.commit()
    shown = _format_summary(market, frames, elapsed)
    return RunOutcome(final, status, summary, shown, market, frames, describe_opening(market))


def _identify_run(config: RunConfig, bars: Mapping[str, Bars]) -> RunIdentity:
    """Return the configuration, code and data of a run, with their hash."""
    plain = config.model_dump(mode="json")
    digests = {name: each.digest for name, each in bars.items()}
    code = identity.describe_code(plugins.list_plugins())
    config_hash = store.hash_config(plain, identity.compute_digest(code), digests)
    return RunIdentity(plain, code, digests, config_hash)


def _describe_result(
    identified: RunIdentity, seed: int, status: str, elapsed: float
) -> dict[str, Any]:
    """Return the content of the manifest, without the checksums of files."""
    return {
        "config_hash": identified.config_hash,
        "data": identified.data,
        "seed": seed,
        "status": status,
        "elapsed_s": elapsed,
        **provenance.describe_process(),
        "code": identified.code,
        "sources": identity.hash_sources(),
        "plugins": {name: plugins.get_file_digests(name) for name in plugins.list_plugins()},
    }


def _simulate(
    config: RunConfig,
    bars: Mapping[str, Bars],
    draft: store.ResultDraft,
    advance: Callable[[Market], str],
) -> tuple[Market, str]:
    """Return the market after its last step, and the status of the run.

    ``advance`` makes the steps of a market, and returns the status.
    """
    place = "building"
    try:
        market = Market(config, populate(config.populations), seed=config.seed, bars=bars)
        place = ""
        return market, advance(market)
    except (ConfigError, DataError):
        raise
    except Exception as error:
        place = place or f"step {market.tick} of {market.steps_planned}"
        raise _build_run_error(config, str(place), draft, error) from error


def _build_run_error(
    config: RunConfig, place: str, draft: store.ResultDraft, error: Exception
) -> RunError:
    """Write the traceback of an error, and return the error to raise."""
    message = f"{config.name}: {place}: {type(error).__name__}: {_first_line(error)}"
    name = f"seed-{config.seed}"
    try:
        return RunError(message, draft.write_traceback(name, traceback.format_exc()))
    except store.WriteError as unwritten:
        return RunError(f"{message}; its traceback is lost: {unwritten}", None)


def _advance(market: Market, name: str, options: RunOptions) -> str:
    """Simulate to the end or to an interrupt by the user, and return the status."""
    with _catch_interrupts() as interrupted, _create_progress_bar(options.quiet) as progress:
        task = progress.add_task(name, total=market.steps_planned)
        for steps in iterate_batches(market, plain=options.plain):
            progress.advance(task, steps)
            if interrupted:
                break
    market.recorder.record_accounts("end")
    return INTERRUPTED if interrupted else COMPLETE


@contextmanager
def _catch_interrupts() -> Iterator[list[int]]:
    """Collect the first interrupt, so that the current step is completed; a second one raises."""
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
    market: Market, folder: Path, identified: RunIdentity, summary: dict[str, Any]
) -> Frames:
    """Write the configuration, frames, summary and events of a run, and return the frames."""
    frames = market.recorder.frames()
    store.write_yaml(identified.config, folder / "config.resolved.yaml")
    about = {
        "config": store.dump_canonical_json(identified.config),
        "config_hash": identified.config_hash,
        "version": provenance.read_version(),
    }
    owners = build_owner_frame(market)
    written = frames if owners is None else {**frames, "owners": owners}
    for name, frame in written.items():
        store.write_frame(frame, folder / f"{name}.parquet", about)
    store.write_json(summary, folder / "summary.json")
    if events := _list_learning_events(market):
        store.write_json(events, folder / "events.json")
    return frames


def _write_manifest(record: Mapping[str, Any], folder: Path) -> None:
    """Write the manifest with checksums of all present files, before and after drawing figures."""
    files = {name: digest for name, digest in store.hash_files(folder).items() if name != MANIFEST}
    store.write_json({**record, "files": files}, folder / MANIFEST)


def _draw_figures(market: Market, frames: Frames, folder: Path, helper: Helper | None) -> None:
    """Draw the figures of a run, after its data have been written.

    Plotting libraries are imported here, so that a refused run does not wait for them.
    """
    from experiments.figures.overview import FIGURES

    numeraire = market.config.assets[0]
    if len(frames["steps"]):
        files = RunFiles(folder, 10**numeraire.decimals, numeraire.name)
        written = {name: store.restore_frame(frame) for name, frame in frames.items()}
        draw_figures(list(FIGURES.values()), written, files, helper)


def _list_learning_events(market: Market) -> list[dict[str, Any]]:
    """Return the steps at which learned margin began to predict or fell back (MAR-9)."""
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
    from experiments.results import summary_table  # its labels come with the plotting libraries

    table = summary_table.format_summary_table(
        frames, unit=10**numeraire.decimals, currency=numeraire.name, seconds=seconds
    )
    if unlearned := market.list_opening_values():
        table += f"\n\nnever left its opening value: {'; '.join(unlearned)}"
    return table


def _format_money_unit(market: Market) -> str:
    """Return the value of one unit of money in results, such as ``0.01 USD``."""
    numeraire = market.config.assets[0]
    return f"{10.0**-numeraire.decimals:g} {numeraire.name}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0]
