"""Backbones, and the classifier that is put around one: resize, normalise, pool, classify."""
