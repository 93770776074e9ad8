"""Preference optimisation: the losses and the objective, pure functions of log-probabilities."""
