"""Classification heads: margin softmax over identities."""
