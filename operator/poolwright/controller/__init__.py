"""Everything that touches the cluster: observe, plan, apply, report."""
