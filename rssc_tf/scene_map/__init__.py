"""A whole scene of any size -> a georeferenced map of its classes."""
