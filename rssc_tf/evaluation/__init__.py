"""Evaluation: exact metrics over whole splits, files of predictions, and pictures."""
