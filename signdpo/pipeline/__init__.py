"""A run: its stages and their resumption, the plan of resources, the run directory."""
