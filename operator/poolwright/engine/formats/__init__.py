"""How quantised checkpoints pack their weights: each format unpacks exactly into one common form."""
