"""How well embeddings tell people apart: protocols, rates with their uncertainty, reports."""
