"""Settings of leveraged traders (AGT-1)."""

from typing import Literal

from pydantic import Field

from agents.base import DAY, Population
from agents.shared.capital import CapitalPolicy


class LeveragedSettings(Population):
    """Fields that all leveraged traders share; see ``agents.leveraged``."""

    latency: int = Field(8, ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    wealth: float = Field(
        10_000.0, gt=0, description="median wealth at the start (units of the numeraire)"
    )
    wealth_sigma: float = Field(1.0, ge=0, description="standard deviation of log wealth (1)")
    instruments: tuple[str, ...] = Field(
        (), description="instruments they trade; empty = all perpetuals of the venue (names)"
    )
    reference_leverage: float = Field(
        20.0,
        gt=0,
        description="engine's highest leverage at which the desired leverage applies (times)",
    )
    elasticity: float = Field(
        0.5,
        ge=0,
        le=1,
        description="response of desired leverage to the engine's leverage (exponent)",
    )
    cap: float = Field(
        0.9, gt=0, le=1, description="most leverage used, share of the engine's highest (share)"
    )
    position_leverage: Literal["wished", "highest"] = Field(
        "wished",
        description="leverage chosen for an isolated position: desired or engine's highest (name)",
    )
    slippage: float = Field(
        0.005, ge=0, le=1, description="worst entry accepted, distance from the mark (share)"
    )
    entry_elasticity: float = Field(
        0.0,
        ge=0,
        le=4,
        description="response of the entry hazard to the engine's leverage (exponent)",
    )
    exit_elasticity: float = Field(
        0.0,
        ge=0,
        le=4,
        description="response of the mean holding time to the engine's leverage (exponent)",
    )
    entries_per_day: float = Field(1.0, ge=0, description="hazard of entering while flat (per day)")
    holding_time: float = Field(DAY, gt=0, description="mean time a position is held (seconds)")
    take_profit: float | None = Field(
        None, gt=0, description="gain that closes, share of the entry price (share)"
    )
    stop_loss: float | None = Field(
        None, gt=0, description="loss that closes, share of the entry price (share)"
    )
    equity_stop_loss: float | None = Field(
        None, gt=0, description="loss that closes, share of the equity at entry (share)"
    )
    initial_entry_share: float = Field(
        0.0, ge=0, le=1, description="share of members who enter during the warm-up (share)"
    )
    warm_up: float = Field(3600.0, gt=0, description="time over which they enter (seconds)")
    capital: CapitalPolicy | None = Field(
        None, description="how members manage capital; none = they do not (AGT-7)"
    )
