"""Margin by prediction: a quantile of the future loss (MAR-9).

It is learned from past returns and the state of the order book.
"""

from collections import deque
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from sim.margin import leg_values
from sim.margin.base import AnyRequirement, RequirementWrapper
from sim.margin.learned.features import N_RETURNS_NEEDED, FeatureCollector
from sim.margin.learned.forest import Forest, fit_forest
from sim.margin.learned.trained import compute_digest, read_trained_forest
from sim.margin.past import PastSums, PastView, learn_past, list_parts
from sim.margin.tail.models.history import count_rows
from sim.margin.tiers.tiered import TieredRequirement
from sim.protocols import Requirement
from sim.types import F8, Contracts, Exposure, Margins, MarketView


class LearnedRequirement(RequirementWrapper):
    """Quantile gradient boosting of the loss over ``horizon``.

    It is trained walk-forward in the run, or read from a trained file. The target is the loss of a
    side over its volatility of 20 returns. The margin is at least ``floor``, and at least ``share``
    of the inner requirement.

    The inner requirement, or the prediction if that is larger, applies in two cases: the oracle is
    silent for longer than ``stale``, or a feature lies outside the range of training. Each fallback
    is an event. Legs add up: only the inner requirement offsets legs.
    """

    kind: Literal["learned"] = Field(
        default="learned", description="predicted quantile of the future loss (name)"
    )
    inner: AnyRequirement = Field(
        default=TieredRequirement(),
        description="requirement that applies without a prediction (component)",
    )
    model_file: str = Field(
        default="", description="file written by deleverage train; empty = learns in the run (path)"
    )
    digest: str = Field(
        default="",
        description="SHA-256 of that file, filled in if empty; a changed file is refused (hex)",
    )
    level: float = Field(default=0.99, ge=0.5, lt=1, description="quantile of losses (share)")
    every: float = Field(
        default=86_400, gt=0, description="spacing of the returns that it learns (s)"
    )
    horizon: float = Field(default=86_400, gt=0, description="horizon of the loss (s)")
    window: float = Field(
        default=86_400_000, gt=0, description="past on which it is trained (s; 1,000 days)"
    )
    least: float = Field(
        default=34_560_000,
        gt=0,
        description="trainable past needed before the first training (s; 400 days)",
    )
    refit_interval: float = Field(
        default=10_800_000, gt=0, description="time between trainings (s; 125 days)"
    )
    n_trees: int = Field(default=60, ge=1, le=1000, description="rounds of boosting (count)")
    index: str = Field(
        default="", description="underlying whose level is implied volatility; empty = none (name)"
    )
    max_oracle_silence: float = Field(
        default=600, ge=0, description="silence of the oracle that is tolerated (s)"
    )
    floor: float = Field(default=0.005, ge=0, description="least margin (share of notional)")
    share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of the inner requirement that always applies (share)",
    )
    maintenance_ratio: float = Field(
        default=0.5, ge=0, le=1, description="maintenance over initial (ratio)"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_digest(cls, data: Any) -> Any:
        """Add the digest of the trained file to the configuration.

        Results are named after the configuration, so they also depend on the content of the file.
        """
        path = data.get("model_file") if isinstance(data, dict) else None
        if not path or not isinstance(path, str):
            return data
        digest, configured = compute_digest(path), data.get("digest", "")
        if configured and configured != digest:
            raise ValueError(
                f"digest: {path} has changed since it was {str(configured)[:12]}..., "
                f"is {digest[:12]}... now: bring the file back, or remove digest"
            )
        return {**data, "digest": digest}

    def look_back(self) -> float:
        """Return the seconds until the first prediction, at least the inner look-back."""
        own = N_RETURNS_NEEDED * self.every + (
            0.0 if self.model_file else self.least + self.horizon
        )
        return max(own, self.inner.look_back())

    def spacing(self) -> float:
        """Return the shorter of the model's interval and the spacing of the inner requirement."""
        return min(self.every, self.inner.spacing())

    def bind(self, contracts: Contracts, unit: int) -> "LearnedMargin":
        """See :class:`RequirementComponent`.

        Raises:
            ConfigError: a trained file cannot be read or has another purpose, or the index is not
                an underlying.
        """
        forest = (
            read_trained_forest(self.model_file, (self.level, self.every, self.horizon))
            if self.model_file
            else None
        )
        return LearnedMargin(self, self.inner.bind(contracts, unit), contracts, forest)


class FallbackEvent(NamedTuple):
    """Change between prediction and fallback."""

    row: int  # returns of the oracle observed by then
    reason: str  # stale, out of range, or predicts


class TrainingExample(NamedTuple):
    """Features at one moment, used for training once the loss that followed is known."""

    features: F8  # (2, K, F)
    unit: F8  # (K,) volatility
    at: int  # returns observed by then


class LearnedMargin:
    """Learned margin of one pool.

    Args:
        rule: parameters.
        inner: the requirement that applies in a fallback.
        contracts: the pool's instruments.
        forest: a trained model; none = it is trained on the observations of this pool.
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
        self.rate: F8 | None = None  # (2, K) predicted; None = no prediction
        self.is_fallen_back, self.is_out_of_range = False, False
        self.events: list[FallbackEvent] = []
        self._trained_at, self._oracle_silence = -1, 0.0
        self._n_examples_needed = count_rows(rule.least, rule.every)
        self._past_sums: PastSums | None = None

    def observe(self, market: MarketView) -> None:
        """Update the inner requirement.

        On the clock, train the model on known losses and predict.
        """
        self.inner.observe(market)
        is_oracle_live = bool((market.confidence[self.features.underlying] > 0).all())
        self._oracle_silence = 0.0 if is_oracle_live else self._oracle_silence + market.dt
        if self.features.observe(market) and self._record_return(market):
            if self._is_training_due():
                self._train(*self.build_training_set())
            self._predict()
        self._update_fallback(len(market.returns))

    def learn_past(self, past: PastView) -> None:
        """Update the inner requirement, and train on the past, in which no order book is known.

        Of several trainings that were due, only the last one is made.
        """
        stride = count_rows(self.rule.every, past.opening.dt)
        if self._past_sums is None:
            self._past_sums = PastSums(self.features.underlying, stride)
        training_set = None
        for part in past.split(stride):
            learn_past(self.inner, part)
            for row in self._past_sums.add(part):
                self.features.push_past(row)
                if self._record_return(part.market) and self._is_training_due():
                    training_set = self.build_training_set()
        if training_set is not None:
            self._train(*training_set)
        if self.examples:
            self._predict()
        self._update_fallback(0)

    def describe_opening(self) -> str:
        """See :class:`sim.margin.past.HasOpeningValue`."""
        return "" if self.rate is not None else "learned has made no prediction yet"

    def _record_return(self, market: MarketView) -> bool:
        """Record the newest return, and return whether enough are known for an example."""
        self.returns.append(self.features.window.rows()[-1].copy())
        is_ready = self.features.is_ready()
        if is_ready:
            example = TrainingExample(
                features=self.features.build_table(market),
                unit=self.features.volatility(),
                at=self.features.n_returns,
            )
            self.examples.append(example)
        return is_ready

    def _is_training_due(self) -> bool:
        """Return whether the model has to be trained, and note the time if so."""
        age = self.features.n_returns - self._trained_at
        is_due = self._trained_at < 0 or age >= count_rows(
            self.rule.refit_interval, self.rule.every
        )
        has_enough = len(self.examples) >= self._n_examples_needed + self.horizon_rows
        if self.rule.model_file or not is_due or not has_enough:
            return False
        self._trained_at = self.features.n_returns
        return True

    def _train(self, features: F8, target: F8) -> None:
        self.forest = fit_forest(features, target, self.rule.level, self.rule.n_trees)

    def build_training_set(self) -> tuple[F8, F8]:
        """Return the features and targets of all examples with a known loss, (n, F) and (n,).

        A target is a loss over its volatility.
        """
        past = np.array(self.returns)
        ends = np.concatenate([np.zeros((1, past.shape[1])), np.cumsum(past, axis=0)])
        known = [
            each for each in self.examples if each.at + self.horizon_rows <= self.features.n_returns
        ]
        first = self.features.n_returns - len(past)  # number of returns that have left the window
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
        """Determine whether the prediction may be used; a change is an event."""
        if self.rate is None:
            return
        is_stale = self._oracle_silence > self.rule.max_oracle_silence
        is_fallen_back = is_stale or self.is_out_of_range
        if is_fallen_back != self.is_fallen_back or not self.events:
            reason = "out of range" if self.is_out_of_range else "predicts"
            self.events.append(FallbackEvent(row, "stale" if is_stale else reason))
        self.is_fallen_back = is_fallen_back

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return the predicted quantiles added over legs, (A,), or the inner margins."""
        inner = self.inner.compute_margins(accounts)
        if self.rate is None:
            return inner
        notional = leg_values.compute_margined_notional(accounts)
        predicted = (notional * np.where(accounts.position >= 0, self.rate[0], self.rate[1])).sum(
            axis=1
        )
        share = 1.0 if self.is_fallen_back else self.rule.share
        required = np.maximum(predicted, share * inner.initial)
        chosen = (notional / accounts.leverage).sum(axis=1)
        maintenance = np.maximum(self.rule.maintenance_ratio * required, share * inner.maintenance)
        return Margins(np.maximum(np.maximum(required, maintenance), chosen), maintenance)

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return each leg's predicted margin over the sum, or the inner shares."""
        if self.rate is None:
            return self.inner.compute_leg_shares(accounts)
        side = np.where(accounts.position >= 0, self.rate[0], self.rate[1])
        return leg_values.normalise_shares(
            leg_values.compute_margined_notional(accounts) * side,
            leg_values.compute_gross_notional(accounts),
        )


def list_fallback_events(requirement: Requirement) -> list[FallbackEvent]:
    """Return the events of all learned requirements within wrappers and sums, in order."""
    events, pending = [], [requirement]
    while pending:
        part = pending.pop()
        events += part.events if isinstance(part, LearnedMargin) else []
        pending += list_parts(part)
    return sorted(events)
