"""How fast parts of the project are, each measured against what it replaces or against nothing."""
