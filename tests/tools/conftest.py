"""The tools lie outside the wheel: their folder is put on the path for these tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "shared" / "tools"))
