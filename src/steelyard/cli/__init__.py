"""The face in the terminal: says it to people; no rule lives here."""
