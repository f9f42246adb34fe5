"""Finding the cells of a PocketNet by differentiable search; `run.run_search` is the entry."""
