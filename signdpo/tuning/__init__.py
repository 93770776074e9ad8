"""Searches: which settings of the alignment are best, found by Ray Tune over trials that share what comes before."""
