"""A fleet to plan for, and simpler planners to compare with."""
