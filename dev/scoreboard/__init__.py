"""The scoreboard: traces under every policy, against static peak and the bound. ``python -m scoreboard``."""
