"""How good are anomaly maps: NumPy arrays in, numbers and frozen records out. No files, no torch, nothing mutated.

A higher score always means more abnormal. A metric that is undefined for its input is NaN, with an
`UndefinedMetricWarning` that says why.
"""
