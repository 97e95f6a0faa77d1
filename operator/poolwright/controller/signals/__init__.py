"""What engines say: their metric pages, scraped or asked of Prometheus, made into signals of the planner."""
