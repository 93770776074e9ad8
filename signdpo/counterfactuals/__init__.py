"""Counterfactuals: a sign of a clip is exchanged for another one's, and so is its word; what is right changes sides."""
