"""Commands whose work lies in other sub-packages: arguments in, plain calls, a line or two out."""
