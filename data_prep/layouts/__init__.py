"""A directory in, the cases below it out."""

OUTPUT_MARKER = ".fpgan"
"""A folder that holds a file of this name was written by this toolkit: what lies below it are results, not patients."""
