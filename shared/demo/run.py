"""Where `make run` comes in: nothing is downloaded, then the demonstration starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder that holds `demo`
    from demo.main import main

    sys.exit(main(sys.argv[1:]))
