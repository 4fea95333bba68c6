"""The demo and its drawn scenes."""
