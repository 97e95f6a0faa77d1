"""Roofline physics of one replica: step time, memory, interconnect, time to first token, cost."""
