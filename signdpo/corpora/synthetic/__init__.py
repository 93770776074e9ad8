"""A small synthetic sign language, so that every stage runs without a download."""
