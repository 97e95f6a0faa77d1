"""Custom resource types, their schema, and the one translation from a spec to a core policy."""
