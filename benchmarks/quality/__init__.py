"""How well lesions are detected and localized: `python -m benchmarks.quality`, `make quality`."""
