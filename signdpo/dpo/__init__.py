"""Preference optimisation: the objective (pure) and the training loop of one worker."""
