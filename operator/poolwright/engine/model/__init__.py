"""A decoder over a flat batch of tokens and paged KV cache: configuration, weights, and the pure functions between."""
