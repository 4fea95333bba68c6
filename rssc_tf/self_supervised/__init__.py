"""Learning from images without labels: views, what is learnt of them, and how that is watched."""
