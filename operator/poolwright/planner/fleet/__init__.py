"""All pools at once, where they share accelerators and budgets. ``plan`` is the entry.

In the order of the data: request, ways, columns, build, program, solve, reasons.
"""
