"""Discrete-event kernel of replicas; its step-by-step reference runs the engine's own scheduler."""
