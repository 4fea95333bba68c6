"""What all three packages use: errors, whole-or-absent files, progress, worker processes."""
