"""From a trained network to the directory that the daemon loads."""
