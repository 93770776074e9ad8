"""Files from strangers: read no farther than a limit, run never, named for what they are where they hold no data."""
