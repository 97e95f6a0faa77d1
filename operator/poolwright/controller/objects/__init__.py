"""What a plan becomes: Deployments, Services, budgets and policies, by name, label and command line."""
