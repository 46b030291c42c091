"""An agent of your own in a packaged market: it buys what is offered below the oracle's price."""

from typing import Literal

import deleverage


class Bargain(deleverage.IndividualPopulation):
    """Members that bid for one lot at the oracle's price, in every step."""

    kind: Literal["bargain"] = "bargain"
    name: str = "bargain"

    def decide_member(self, market, account, draws):
        """Return one immediate-or-cancel order for each instrument."""
        return [
            market.buy(each, 1, limit=market.oracle(each), kind=deleverage.IOC)
            for each in market.instruments
        ]


deleverage.register("population", Bargain)

config = deleverage.load_run("small_crash", ["duration=7200"])
hunters = Bargain(venue=config.venues[0].name, count=20, wealth=10_000.0)
config = config.model_copy(update={"populations": (*config.populations, hunters)})
market = deleverage.Market(config, deleverage.populate(config.populations), seed=1)
while market.running:
    market.step()

members = [agent for agent in market.agents if agent.population == "bargain"]
lots = sum(int(member.position.sum()) for member in members)
equity = sum(member.equity for member in members) / market.minor_units
print(f"{len(members)} members hold {lots} lots; their 200,000 is worth {equity:,.0f}")
