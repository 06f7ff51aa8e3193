"""Composition of the other packages: the `fpgan` command, its configuration and its reports."""
