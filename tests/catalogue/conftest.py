"""The site's maker of test studies is shared with tests/site."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "site"))
