"""Given a claim and a run, who is right? Pure: returns a Verdict or the next move."""
