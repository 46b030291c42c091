"""Costs of insolvency, by layer (LOSS-4)."""

from sim.metrics.cascades import Frames


def sum_system_loss(frames: Frames) -> int:
    """Return the losses that all layers absorbed, with bad debt, minor units of the numeraire.

    The wealth space: fund draws, value forgone in ADL, socialised loss and bad debt.
    """
    return int(frames["losses"]["absorbed"].sum())


def sum_by_layer(frames: Frames) -> dict[str, int]:
    """Return the losses by layer, in the order of layers' names."""
    return {
        str(name): int(total)
        for name, total in frames["losses"].groupby("layer")["absorbed"].sum().items()
    }


def sum_adl_lots(frames: Frames) -> int:
    """Return the lots of all instruments that ADL closed: the contract space."""
    return int(frames["steps"]["adl"].sum())
