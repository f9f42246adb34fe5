"""Face-recognition training for the edge: search, train, distil, evaluate, export.

Importing the package loads nothing: each command imports what it uses.
"""

import os

# ONNX Runtime reports to its maker unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
