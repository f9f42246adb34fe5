"""The training loop and what it stands on: it knows a task, and nothing of faces or teachers."""
