"""Simulated releases with known truth: galaxies, how they are rendered, mosaics of them.

Begin in `release`.
"""
