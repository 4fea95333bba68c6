"""Initial weights: where they come from, what they expect, and how they get into a backbone."""
