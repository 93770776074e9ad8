"""Batch translation, the field's metrics and their significance."""
