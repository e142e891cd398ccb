"""Heads: the questions that a predictor answers, from a network's codes to calibrated answers; NumPy alone."""
