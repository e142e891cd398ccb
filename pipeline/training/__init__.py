"""Training of networks: datasets of releases and labels, the sampler, the worker on each node, the folder of a training.

Begin in `train`; what is learned, and how, stands in `kernels.training`.
"""
