"""Where images and labels come from: folders, label files, split files, TFDS, the catalogue."""
