"""What a training step minimises and how it moves: losses, optimizers, learning rates."""
