"""A directory in, the cases below it out."""
