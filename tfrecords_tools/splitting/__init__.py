"""How examples are divided into training, validation and test."""
