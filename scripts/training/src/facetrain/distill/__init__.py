"""Distillation: teachers, terms between embeddings, and the tasks that add them up."""
