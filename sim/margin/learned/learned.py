"""Margin by prediction: a quantile of the loss ahead, learnt from the past of returns and of the book (MAR-9)."""

from collections import deque
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from sim.margin import leg_values
from sim.margin.base import AnyRequirement, RequirementWrapper
from sim.margin.learned.features import N_RETURNS_NEEDED, FeatureCollector
from sim.margin.learned.forest import Forest, fit_forest
from sim.margin.learned.trained import compute_digest, read_trained_forest
from sim.margin.tail.models.history import count_rows
from sim.margin.tiers.tiered import TieredRequirement
from sim.protocols import Requirement
from sim.types import F8, Contracts, Exposure, Margins, MarketView


class LearnedRequirement(RequirementWrapper):
    """Quantile gradient boosting of the loss over ``horizon``, walk-forward in the run, or from a trained file.

    What is predicted is the loss of a side over its volatility of 20 returns. Never below ``floor``, nor below
    ``share`` of the inner requirement. It falls back on the inner requirement, or its prediction if that asks more,
    while the oracle is silent for longer than ``stale`` or a feature lies outside the range of training; each time is
    an event. Legs add up: nothing is offset, but by the inner requirement.
    """

    kind: Literal["learned"] = Field(
        default="learned", description="predicted quantile of the loss ahead (name)"
    )
    inner: AnyRequirement = Field(
        default=TieredRequirement(), description="what is asked while it cannot predict (component)"
    )
    trained: str = Field(
        default="", description="file written by deleverage train; empty = learns in the run (path)"
    )
    digest: str = Field(
        default="",
        description="SHA-256 of that file, filled in when empty; a file that has changed is refused (hex)",
    )
    level: float = Field(default=0.99, ge=0.5, lt=1, description="quantile of losses (share)")
    every: float = Field(
        default=86_400, gt=0, description="spacing of the returns it learns from (s)"
    )
    horizon: float = Field(default=86_400, gt=0, description="time that the loss is for (s)")
    window: float = Field(
        default=86_400_000, gt=0, description="past it is trained on (s; 1,000 days)"
    )
    least: float = Field(
        default=34_560_000, gt=0, description="past of trainable days needed first (s; 400 days)"
    )
    refit: float = Field(
        default=10_800_000, gt=0, description="time between trainings (s; 125 days)"
    )
    trees: int = Field(default=60, ge=1, le=1000, description="rounds of boosting (count)")
    index: str = Field(
        default="", description="underlying whose level is implied volatility; empty = none (name)"
    )
    stale: float = Field(default=600, ge=0, description="silence of the oracle that is borne (s)")
    floor: float = Field(default=0.005, ge=0, description="least margin (share of notional)")
    share: float = Field(
        default=0.5, ge=0, le=1, description="of the inner requirement that is always asked (share)"
    )
    maintenance_ratio: float = Field(
        default=0.5, ge=0, le=1, description="maintenance over initial (ratio)"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_digest(cls, data: Any) -> Any:
        """The file's content belongs to the configuration: results are named by it, and stay what they were."""
        path = data.get("trained") if isinstance(data, dict) else None
        if not path or not isinstance(path, str):
            return data
        now, said = compute_digest(path), data.get("digest", "")
        if said and said != now:
            message = (
                f"digest: {path} has changed since it was {str(said)[:12]}..., is {now[:12]}... now"
            )
            raise ValueError(f"{message}: bring the file back, or remove digest")
        return {**data, "digest": now}

    def look_back(self) -> float:
        """Until it first predicts, and the inner requirement too."""
        own = N_RETURNS_NEEDED * self.every + (0.0 if self.trained else self.least + self.horizon)
        return max(own, self.inner.look_back())

    def bind(self, contracts: Contracts, unit: int) -> "LearnedMargin":
        """See :class:`RequirementComponent`.

        Raises:
            ConfigError: a trained file that cannot be read or is for something else; an index that is no underlying.
        """
        forest = (
            read_trained_forest(self.trained, (self.level, self.every, self.horizon))
            if self.trained
            else None
        )
        return LearnedMargin(self, self.inner.bind(contracts, unit), contracts, forest)


class FallbackEvent(NamedTuple):
    """A change between predicting and falling back."""

    row: int  # returns of the oracle seen by then
    reason: str  # stale, out of range, or predicts


class TrainingExample(NamedTuple):
    """What was seen at one moment, to be learnt from when the loss that followed is known."""

    features: F8  # (2, K, F)
    unit: F8  # (K,) volatility
    at: int  # returns seen by then


class LearnedMargin:
    """One pool's model at work.

    Args:
        rule: parameters.
        inner: the requirement it falls back on.
        contracts: the pool's instruments.
        forest: a trained model; none = it is trained on what this pool sees.
    """

    def __init__(
        self,
        rule: LearnedRequirement,
        inner: Requirement,
        contracts: Contracts,
        forest: Forest | None,
    ) -> None:
        self.rule, self.inner, self.forest = rule, inner, forest
        self.features = FeatureCollector(contracts, rule.every, rule.index)
        self.horizon_rows = count_rows(rule.horizon, rule.every)
        self.examples: deque[TrainingExample] = deque(
            maxlen=count_rows(rule.window, rule.every) + self.horizon_rows
        )
        self.returns: deque[F8] = deque(
            maxlen=count_rows(rule.window, rule.every) + self.horizon_rows
        )
        self.rate: F8 | None = None  # (2, K) predicted; none = it cannot
        self.is_fallen_back, self.is_out_of_range = False, False
        self.events: list[FallbackEvent] = []
        self._trained_at, self._oracle_silence = -1, 0.0
        self._n_examples_needed = count_rows(rule.least, rule.every)

    def observe(self, market: MarketView) -> None:
        """The inner requirement learns, and on its clock the model: trained on what is known by now, then asked."""
        self.inner.observe(market)
        heard = bool((market.confidence[self.features.underlying] > 0).all())
        self._oracle_silence = 0.0 if heard else self._oracle_silence + market.dt
        if self.features.observe(market):
            self.returns.append(self.features.window.rows()[-1].copy())
            if self.features.is_ready():
                seen = (
                    self.features.build_table(market),
                    self.features.volatility(),
                    self.features.n_returns,
                )
                self.examples.append(TrainingExample(*seen))
                self._train()
                self._predict()
        self._update_fallback(len(market.returns))

    def _train(self) -> None:
        due = self._trained_at < 0 or self.features.n_returns - self._trained_at >= count_rows(
            self.rule.refit, self.rule.every
        )
        if (
            self.rule.trained
            or not due
            or len(self.examples) < self._n_examples_needed + self.horizon_rows
        ):
            return
        features, target = self.build_training_set()
        self.forest = fit_forest(features, target, self.rule.level, self.rule.trees)
        self._trained_at = self.features.n_returns

    def build_training_set(self) -> tuple[F8, F8]:
        """Features and losses over volatility of all examples whose loss is known by now, (n, F) and (n,)."""
        past = np.array(self.returns)
        ends = np.concatenate([np.zeros((1, past.shape[1])), np.cumsum(past, axis=0)])
        known = [
            each for each in self.examples if each.at + self.horizon_rows <= self.features.n_returns
        ]
        first = self.features.n_returns - len(past)  # returns that have left the window
        rows, targets = [], []
        for each in known:
            begin = each.at - first
            if begin < 0:
                continue
            move = (ends[begin + self.horizon_rows] - ends[begin]) / np.maximum(each.unit, 1e-12)
            rows.append(each.features.reshape(-1, each.features.shape[-1]))
            targets.append(np.concatenate([-move, move]))
        return np.concatenate(rows), np.concatenate(targets)

    def _predict(self) -> None:
        if self.forest is None:
            return
        now = self.examples[-1]
        table = now.features.reshape(-1, now.features.shape[-1])
        predicted = self.forest.predict(table).reshape(2, -1) * now.unit
        self.rate = np.maximum(predicted, self.rule.floor)
        self.is_out_of_range = bool(self.forest.find_out_of_range(table).any())

    def _update_fallback(self, row: int) -> None:
        """Whether the prediction may be used; a change is an event."""
        if self.rate is None:
            return
        stale = self._oracle_silence > self.rule.stale
        fallen = stale or self.is_out_of_range
        if fallen != self.is_fallen_back or not self.events:
            self.events.append(
                FallbackEvent(
                    row,
                    "stale" if stale else "out of range" if self.is_out_of_range else "predicts",
                )
            )
        self.is_fallen_back = fallen

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Predicted quantiles added over legs, (A,), or the inner margins."""
        inner = self.inner.compute_margins(accounts)
        if self.rate is None:
            return inner
        notional = leg_values.compute_margined_notional(accounts)
        own = (notional * np.where(accounts.position >= 0, self.rate[0], self.rate[1])).sum(axis=1)
        share = 1.0 if self.is_fallen_back else self.rule.share
        kept = np.maximum(own, share * inner.initial)
        chosen = (notional / accounts.leverage).sum(axis=1)
        maintenance = np.maximum(self.rule.maintenance_ratio * kept, share * inner.maintenance)
        return Margins(np.maximum(np.maximum(kept, maintenance), chosen), maintenance)

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Each leg's predicted margin over their sum; the inner shares while it cannot predict."""
        if self.rate is None:
            return self.inner.compute_leg_shares(accounts)
        side = np.where(accounts.position >= 0, self.rate[0], self.rate[1])
        return leg_values.normalise_shares(
            leg_values.compute_margined_notional(accounts) * side,
            leg_values.compute_gross_notional(accounts),
        )


def list_fallback_events(requirement: Requirement) -> list[FallbackEvent]:
    """Events of all learned requirements within wrappers and sums, in order; none where nothing is learnt."""
    found, within = [], [requirement]
    while within:
        part: Any = within.pop()
        found += part.events if isinstance(part, LearnedMargin) else []
        if "inner" in vars(part):
            within.append(part.inner)
        within += [
            each[0] if isinstance(each, tuple) else each for each in vars(part).get("parts", ())
        ]
    return sorted(found)
