"""Closed forms from step time to percentiles: what a replica's queue does under random arrivals."""
