"""Watching what passes through: the traffic log, and the helper that tells observers of it."""
