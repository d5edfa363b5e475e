"""Miniature multilingual data: one small set of meanings, expressed in eight real languages."""
