"""The core: a snapshot, a policy and the physics in, a plan with its reasons out. Pure."""
