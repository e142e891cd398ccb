"""Ray for one run: a private cluster or one that is joined, streams of slices, progress, metrics, interrupts.

Begin in `cluster`; `streams` carries slices from readers through actors to writers.
"""
