"""How a training step moves the weights: optimizers, learning rates, recipes."""
