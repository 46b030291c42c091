"""A study of your own: a module with one function, and a sweep. The rest is as default."""

import tempfile
from pathlib import Path

import pandas as pd


def score(config, frames, twin):
    """Measure one run: share of traders closed out, and how far the mark fell."""
    steps, close_outs = frames["steps"], frames["closeouts"]
    traders = close_outs[close_outs["population"] == "noise"]["owner"].nunique()
    share = 100 * traders / config.populations[0].count
    fall = 100 * (1 - steps["mark"].min() / steps["index"].iloc[0])
    return pd.DataFrame({"closed_out_percent": [share], "fall_percent": [fall]})


if __name__ == "__main__":
    import deleverage

    with tempfile.TemporaryDirectory() as folder:
        result = deleverage.sweep(Path(__file__).with_suffix(".yaml"), out=f"{folder}/study")
        print((result.folder / "report.md").read_text())
