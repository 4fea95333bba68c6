"""What is how fast, on the user's own records and machine."""
