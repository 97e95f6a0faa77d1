"""Traces, fleets in time, and the twin that plays engines where there are no GPUs."""
