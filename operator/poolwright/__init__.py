"""Poolwright sizes LLM inference fleets from physics: see README.md and docs/model.md."""
