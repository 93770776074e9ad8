"""Where clips come from: readers of the field's formats, the synthetic corpus, and their ingest to Parquet."""
