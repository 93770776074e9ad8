"""Files of a run on any storage that fsspec knows, the patience it needs, and who may write them."""
