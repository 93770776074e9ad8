"""SignDPO: multi-level direct preference optimisation for skeleton-based sign language translation, on Ray."""
