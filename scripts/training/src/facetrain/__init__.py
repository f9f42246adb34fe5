"""Face-recognition training for the edge: search, train, distil, evaluate, export.

Importing the package does nothing and needs nothing: each command imports what it uses.
"""

__version__ = "0.1.0"
