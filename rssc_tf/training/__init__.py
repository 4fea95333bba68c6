"""Training: stages of a regime, the loop that runs one, and what survives a kill."""
