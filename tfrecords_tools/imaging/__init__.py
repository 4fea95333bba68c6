"""The one reader of image files."""
