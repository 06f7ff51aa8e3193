"""Generator and discriminator, built on MONAI blocks."""
