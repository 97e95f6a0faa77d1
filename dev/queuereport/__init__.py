"""The report that holds the closed form and the planner's choices against the simulation kernel."""
