"""How right the performance model is: scores predictions against published measurements and writes the report."""
