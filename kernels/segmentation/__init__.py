"""Which pixels of a stamp are the object's, and which a neighbour's: the same for encoding and for measuring.

`segments.segment` finds the regions, `watershed` parts those that touch, and `fill` replaces neighbours by sky. Begin in `segments`.
"""
