"""Sentences as units that metrics and negatives count, words or Chinese characters; messages that say the same."""
