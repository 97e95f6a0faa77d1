"""Replicas in time. Read ``pool`` first: ``simulate(arrivals, pool, law)`` is the way in, ``outcome`` what comes out.

``replica`` is the reference, step by step on the engine's own scheduler, and what twins are made of. ``kernel`` does
the same compiled (equal to 1e-9 s, tests/laws/simulator/test_kernel.py) with ``stretch`` (times), ``batch``,
``waiting`` and ``route``, on the tables of ``layout``. ``step_table`` makes a table of a step law and ``layout.law_of``
lays it out; ``gaps`` reads times between tokens; ``sampled`` draws requests. Equations: docs/model.md section 13.
"""
