"""Demand ahead of now, at a quantile."""
