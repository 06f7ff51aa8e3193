"""Training of a Fixed-Point GAN: settings, steps, loop and checkpoints."""
