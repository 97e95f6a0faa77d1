"""What a plan's tokens cost and what else could be: prices, frontier, smaller models, shared replicas.

Reads plans and decides nothing: the planner does not know this room.
"""
