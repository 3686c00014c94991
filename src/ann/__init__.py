"""The network under the course's paths. What is here comes from the package mlp, in the folder above src."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if (ROOT / "mlp" / "base" / "paths.py").is_file() and str(ROOT) not in sys.path:
    sys.path.insert(1, str(ROOT))  # this checkout's package, installed or not
