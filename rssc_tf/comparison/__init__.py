"""The study on one's own data: a grid of runs, statistics over it, and a page to read."""
