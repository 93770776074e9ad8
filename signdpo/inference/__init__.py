"""Translating clips that have no labels: which files are clips, how they are read, decoded, drawn and written."""
