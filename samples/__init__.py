"""A miniature multilingual world: one small set of meanings, said in eight real languages."""
