"""How fast the proxy is, as ratios in one run: ``python -m benchmarks``."""
