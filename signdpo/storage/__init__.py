"""Files of a run on any storage that fsspec knows, and the patience it needs."""
