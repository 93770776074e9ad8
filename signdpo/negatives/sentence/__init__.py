"""Non-preferred sentences: who writes them, and which is chosen."""
