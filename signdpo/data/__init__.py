"""What flows: rows of clips and preferences, their schedule, their streams on Ray Data, their cache."""
