"""Measured morphology: what stamps say without a network, batched on the stamps' device."""
