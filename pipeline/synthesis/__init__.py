"""Synthetic releases: the requests, the exemplar galaxies, and the actors that draw them.

Begin in `augment`.
"""
