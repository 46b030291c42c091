"""Draw the README's figure, small enough for the repository: ``python tests/golden/figure.py``."""

import re
import tempfile
from pathlib import Path

from PIL import Image

from experiments.sweep.config import load_study
from experiments.sweep.runner import run_sweep

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
(KEPT,) = (ROOT / path for path in re.findall(r"!\[[^\]]+\]\(([^)]+\.png)\)", README))
(STUDY,) = re.findall(r"pip install .* && deleverage sweep (\w+) --quick\n", README)

COLOURS = 48


def made(folder: Path) -> Image.Image:
    """The phase figure of the README's first command, at half its resolution."""
    outcome = run_sweep(load_study(STUDY, quick=True), out=folder / "result")
    with Image.open(outcome.folder / "figures" / "phase.png") as image:
        return image.convert("RGB").resize(
            (image.width // 2, image.height // 2), Image.Resampling.LANCZOS
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        made(Path(place)).quantize(COLOURS).save(KEPT, optimize=True)
