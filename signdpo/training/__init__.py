"""Training loops of one worker, and what they share: optimiser, schedule, checkpoints, dev scores."""
