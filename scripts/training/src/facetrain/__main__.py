"""``python -m facetrain COMMAND``."""

import sys

from facetrain.cli import main

if __name__ == "__main__":
    sys.exit(main())
