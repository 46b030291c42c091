"""Write ``outcomes.json`` again after an intended change: ``python tests/golden/regenerate.py``.

Look at its diff before committing: every number that moves is a result
that may have been published.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from golden.markets import MARKETS, build, outcome
from papers import crash

OUTCOMES = Path(__file__).with_name("outcomes.json")

if __name__ == "__main__":
    outcomes = {name: outcome(crash.run(build(name))) for name in MARKETS}
    OUTCOMES.write_text(json.dumps(outcomes, indent=2) + "\n", encoding="utf-8")
