"""Non-preferred skeletons: operations, where they act, how hard they are."""
