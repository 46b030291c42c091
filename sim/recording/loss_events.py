"""Events of losses that compiled steps have written to a table, as records."""

from sim.recording.event_tables import (
    FIRST_LEG,
    LOSS_ABSORBED,
    LOSS_LAYER,
    LOSS_OWNER,
    LOSS_POOL,
    LOSS_SHORTFALL,
    LOSS_STEP,
    EventTables,
)
from sim.records import LossEvents
from sim.state import MarketState


def take_loss_events(tables: EventTables, market: MarketState) -> list[tuple[int, LossEvents]]:
    """Return the events of each step and pool, in order, and take them from the table."""
    pools = {pool.number: pool for pool in market.ledger.pools}
    taken = []
    for rows in tables.take_losses():
        pool = pools[int(rows[0, LOSS_POOL])]
        count = pool.instruments.stop - pool.instruments.start
        layers = market.venues[pool.venue].config.waterfall
        events = LossEvents(
            pool=pool,
            kinds=(*(layer.kind for layer in layers), "bad_debt"),
            layer=rows[:, LOSS_LAYER],
            account=rows[:, LOSS_OWNER],
            shortfall=rows[:, LOSS_SHORTFALL],
            absorbed=rows[:, LOSS_ABSORBED],
            lots=rows[:, FIRST_LEG : FIRST_LEG + count],
            notional=rows[:, FIRST_LEG + count : FIRST_LEG + 2 * count],
        )
        taken.append((int(rows[0, LOSS_STEP]), events))
    return taken
