"""Understanding what a person asks of the trail, by rules: no model, no database, the same answer every time."""
