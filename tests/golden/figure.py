"""The README's figure, as its first command makes it, small enough to keep: python tests/golden/figure.py."""

import re
import tempfile
from pathlib import Path

from PIL import Image

from experiments.config import load_run
from experiments.run import execute

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
(KEPT,) = (ROOT / path for path in re.findall(r"!\[[^\]]+\]\(([^)]+\.png)\)", README))
(CONFIG,) = re.findall(r"pip install .* && deleverage run (\w+)\n", README)

COLOURS = 48


def made(folder: Path) -> Image.Image:
    """The overview of the README's first command, at half its resolution."""
    outcome = execute(load_run(CONFIG), out=folder / "result")
    with Image.open(outcome.folder / "figures" / "overview.png") as image:
        return image.convert("RGB").resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        made(Path(place)).quantize(COLOURS).save(KEPT, optimize=True)
