"""Registries that a user can add components to. Nothing is imported here: a plug-in comes first."""

REGISTRIES = {
    "netting": ("sim.margin.registry", "NETTINGS"),
    "valuation": ("sim.margin.registry", "VALUATIONS"),
    "requirement": ("sim.margin.registry", "REQUIREMENTS"),
    "return_model": ("sim.margin.registry", "MODELS"),
    "mark": ("sim.exchange", "MARKS"),
    "funding": ("sim.exchange", "FUNDINGS"),
    "liquidation": ("sim.liquidation", "LIQUIDATIONS"),
    "loss_layer": ("sim.waterfall", "LAYERS"),
    "index_process": ("sim.prices", "PROCESSES"),
    "stress": ("sim.prices", "STRESSES"),
    "smile": ("sim.pricing.smiles", "SMILES"),
    "population": ("agents", "POPULATIONS"),
}
"""Module and dictionary, from kind to class, by name of the registry."""
