"""Stateful workers: each holds one model on one device; Arrow batch in, Arrow batch out."""
