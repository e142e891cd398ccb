"""Synthetic releases: what is asked for, which galaxies are taken as exemplars, and the actors that draw them.

Begin in `augment`.
"""
