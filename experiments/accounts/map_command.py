"""Part of ``deleverage margin`` for a table of accounts: its liquidation map."""

import math
from pathlib import Path

import typer

from experiments.accounts.liquidation_map import compute_map
from experiments.accounts.map_report import format_json, format_map, write_map
from experiments.accounts.open_table import open_markets
from experiments.accounts.records import describe_opening
from sim.errors import ConfigError


def refuse_stress(stress: str | None) -> None:
    """Refuse shocks of one account together with a table of accounts.

    Raises:
        ConfigError: shocks are given.
    """
    if stress is not None:
        raise ConfigError(
            [f"--stress: {stress!r} is for one account; a map has its own moves: leave it out"]
        )


def print_map(
    source: tuple[str, str, str | None], betas: list[str], out: Path | None, *, as_json: bool
) -> None:
    """Print the liquidation map of a table of accounts, and write its files.

    Args:
        source: market or portfolio, table, and engines; see ``open_table.open_markets``.
        betas: ``NAME=number`` each.
        out: folder of the files; None = none are written.
        as_json: print JSON instead of tables.

    Raises:
        ConfigError: the input has faults.
    """
    moved = dict(map(_parse_beta, betas))
    markets = open_markets(*source)
    maps = {engine: compute_map(market, moved) for engine, market in markets.items()}
    notices = {engine: describe_opening(market) for engine, market in markets.items()}
    currency = next(iter(markets.values())).config.assets[0].name
    if as_json:
        typer.echo(format_json(maps, notices))
    else:
        lines = list(dict.fromkeys(line for own in notices.values() for line in own[:-1]))
        typer.echo("\n".join([*lines, "", format_map(maps, currency)]))
    if out is not None:
        for path in write_map(maps, out, currency):
            typer.echo(path, err=as_json)


def _parse_beta(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        beta = float(value)
    except ValueError:
        beta = math.nan
    if not name or not math.isfinite(beta):
        raise ConfigError(
            [f"--beta: {text!r}, must be an underlying and a number, such as eth=1.3"]
        )
    return name, beta
