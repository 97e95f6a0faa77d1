"""What people are told: status, conditions, metrics and logs."""
