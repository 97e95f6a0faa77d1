"""The inference engine; its scheduler and block pool know no device and no cluster."""
