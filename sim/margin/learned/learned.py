"""Margin by prediction: a quantile of the loss ahead, learnt from the past of returns and of the book (MAR-9)."""

from collections import deque
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from sim.margin import leg_values
from sim.margin.base import AnyRequirement, Wrapper
from sim.margin.learned.features import MEMORY, Features
from sim.margin.learned.forest import Forest, grown
from sim.margin.learned.trained import digest_of, read_trained
from sim.margin.tail.models.history import rows_of
from sim.margin.tiers.tiered import Tiered
from sim.protocols import Requirement
from sim.types import F8, Contracts, Exposure, Margins, MarketView


class Learned(Wrapper):
    """Quantile gradient boosting of the loss over ``horizon``, walk-forward in the run, or from a trained file.

    What is predicted is the loss of a side over its volatility of 20 returns. Never below ``floor``, nor below
    ``share`` of the inner requirement. It falls back on the inner requirement, or its prediction if that asks more,
    while the oracle is silent for longer than ``stale`` or a feature lies outside the range of training; each time is
    an event. Legs add up: nothing is offset, but by the inner requirement.
    """

    kind: Literal["learned"] = Field(default="learned", description="predicted quantile of the loss ahead (name)")
    inner: AnyRequirement = Field(default=Tiered(), description="what is asked while it cannot predict (component)")
    trained: str = Field(default="", description="file written by deleverage train; empty = learns in the run (path)")
    digest: str = Field(
        default="", description="SHA-256 of that file, filled in when empty; a file that has changed is refused (hex)"
    )
    level: float = Field(default=0.99, ge=0.5, lt=1, description="quantile of losses (share)")
    every: float = Field(default=86_400, gt=0, description="spacing of the returns it learns from (s)")
    horizon: float = Field(default=86_400, gt=0, description="time that the loss is for (s)")
    window: float = Field(default=86_400_000, gt=0, description="past it is trained on (s; 1,000 days)")
    least: float = Field(default=34_560_000, gt=0, description="past of trainable days needed first (s; 400 days)")
    refit: float = Field(default=10_800_000, gt=0, description="time between trainings (s; 125 days)")
    trees: int = Field(default=60, ge=1, le=1000, description="rounds of boosting (count)")
    index: str = Field(default="", description="underlying whose level is implied volatility; empty = none (name)")
    stale: float = Field(default=600, ge=0, description="silence of the oracle that is borne (s)")
    floor: float = Field(default=0.005, ge=0, description="least margin (share of notional)")
    share: float = Field(default=0.5, ge=0, le=1, description="of the inner requirement that is always asked (share)")
    maintenance_ratio: float = Field(default=0.5, ge=0, le=1, description="maintenance over initial (ratio)")

    @model_validator(mode="before")
    @classmethod
    def _knows_its_file(cls, data: Any) -> Any:
        """The file's content belongs to the configuration: results are named by it, and stay what they were."""
        path = data.get("trained") if isinstance(data, dict) else None
        if not path or not isinstance(path, str):
            return data
        now, said = digest_of(path), data.get("digest", "")
        if said and said != now:
            told = f"digest: {path} has changed since it was {str(said)[:12]}..., is {now[:12]}... now"
            raise ValueError(f"{told}: bring the file back, or remove digest")
        return {**data, "digest": now}

    def look_back(self) -> float:
        """Until it first predicts, and the inner requirement too."""
        own = MEMORY * self.every + (0.0 if self.trained else self.least + self.horizon)
        return max(own, self.inner.look_back())

    def bind(self, contracts: Contracts, unit: int) -> "LearnedMargin":
        """See :class:`RequirementComponent`.

        Raises:
            ConfigError: a trained file that cannot be read or is for something else; an index that is no underlying.
        """
        forest = read_trained(self.trained, (self.level, self.every, self.horizon)) if self.trained else None
        return LearnedMargin(self, self.inner.bind(contracts, unit), contracts, forest)


class Event(NamedTuple):
    """A change between predicting and falling back."""

    row: int  # returns of the oracle seen by then
    reason: str  # stale, out of range, or predicts


class Example(NamedTuple):
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

    def __init__(self, rule: Learned, inner: Requirement, contracts: Contracts, forest: Forest | None) -> None:
        self.rule, self.inner, self.forest = rule, inner, forest
        self.features = Features(contracts, rule.every, rule.index)
        self.span = rows_of(rule.horizon, rule.every)
        self.examples: deque[Example] = deque(maxlen=rows_of(rule.window, rule.every) + self.span)
        self.returns: deque[F8] = deque(maxlen=rows_of(rule.window, rule.every) + self.span)
        self.rate: F8 | None = None  # (2, K) predicted; none = it cannot
        self.fallen, self.odd = False, False
        self.events: list[Event] = []
        self._trained_at, self._silent = -1, 0.0
        self._needs = rows_of(rule.least, rule.every)

    def observe(self, market: MarketView) -> None:
        """The inner requirement learns, and on its clock the model: trained on what is known by now, then asked."""
        self.inner.observe(market)
        heard = bool((market.confidence[self.features.underlying] > 0).all())
        self._silent = 0.0 if heard else self._silent + market.dt
        if self.features.observe(market):
            self.returns.append(self.features.window.rows()[-1].copy())
            if self.features.ready():
                seen = self.features.table(market), self.features.volatility(), self.features.seen
                self.examples.append(Example(*seen))
                self._train()
                self._predict()
        self._judge(len(market.returns))

    def _train(self) -> None:
        due = self._trained_at < 0 or self.features.seen - self._trained_at >= rows_of(self.rule.refit, self.rule.every)
        if self.rule.trained or not due or len(self.examples) < self._needs + self.span:
            return
        features, target = self.lessons()
        self.forest = grown(features, target, self.rule.level, self.rule.trees)
        self._trained_at = self.features.seen

    def lessons(self) -> tuple[F8, F8]:
        """Features and losses over volatility of all examples whose loss is known by now, (n, F) and (n,)."""
        past = np.array(self.returns)
        ends = np.concatenate([np.zeros((1, past.shape[1])), np.cumsum(past, axis=0)])
        known = [each for each in self.examples if each.at + self.span <= self.features.seen]
        first = self.features.seen - len(past)  # returns that have left the window
        rows, targets = [], []
        for each in known:
            begin = each.at - first
            if begin < 0:
                continue
            move = (ends[begin + self.span] - ends[begin]) / np.maximum(each.unit, 1e-12)
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
        self.odd = bool(self.forest.strange(table).any())

    def _judge(self, row: int) -> None:
        """Whether the prediction may be used; a change is an event."""
        if self.rate is None:
            return
        stale = self._silent > self.rule.stale
        fallen = stale or self.odd
        if fallen != self.fallen or not self.events:
            self.events.append(Event(row, "stale" if stale else "out of range" if self.odd else "predicts"))
        self.fallen = fallen

    def margins(self, book: Exposure) -> Margins:
        """Predicted quantiles added over legs, (A,), or the inner margins."""
        inner = self.inner.margins(book)
        if self.rate is None:
            return inner
        notional = leg_values.notional(book)
        own = (notional * np.where(book.position >= 0, self.rate[0], self.rate[1])).sum(axis=1)
        share = 1.0 if self.fallen else self.rule.share
        kept = np.maximum(own, share * inner.initial)
        chosen = (notional / book.leverage).sum(axis=1)
        maintenance = np.maximum(self.rule.maintenance_ratio * kept, share * inner.maintenance)
        return Margins(np.maximum(np.maximum(kept, maintenance), chosen), maintenance)

    def shares(self, book: Exposure) -> F8:
        """Each leg's predicted margin over their sum; the inner shares while it cannot predict."""
        if self.rate is None:
            return self.inner.shares(book)
        side = np.where(book.position >= 0, self.rate[0], self.rate[1])
        return leg_values.shares(leg_values.notional(book) * side, leg_values.gross(book))


def events_of(requirement: Requirement) -> list[Event]:
    """Events of all learned requirements within wrappers and sums, in order; none where nothing is learnt."""
    found, within = [], [requirement]
    while within:
        part: Any = within.pop()
        found += part.events if isinstance(part, LearnedMargin) else []
        if "inner" in vars(part):
            within.append(part.inner)
        within += [each[0] if isinstance(each, tuple) else each for each in vars(part).get("parts", ())]
    return sorted(found)
