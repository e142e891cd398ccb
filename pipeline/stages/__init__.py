"""The stages of a run, one file each: encode, reduce, fit, vote, balance, classify, publish.

Begin in `encode` for a stage that streams slices, in `reduce` for a barrier; `pipeline.flow` calls them in order.
"""
