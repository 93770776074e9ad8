"""Skeleton encoders by kind."""
