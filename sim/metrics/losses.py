"""What insolvency cost, and whom (LOSS-4)."""

from sim.metrics.cascades import Frames


def sum_system_loss(frames: Frames) -> int:
    """Wealth space: fund draw, value forgone in ADL, socialised loss and bad debt, minor units of the numeraire."""
    return int(frames["losses"]["absorbed"].sum())


def sum_by_layer(frames: Frames) -> dict[str, int]:
    """The same by layer, in the order of their names."""
    return {
        str(name): int(total)
        for name, total in frames["losses"].groupby("layer")["absorbed"].sum().items()
    }


def sum_adl_lots(frames: Frames) -> int:
    """Contract space: lots of all instruments closed by ADL."""
    return int(frames["steps"]["adl"].sum())
