"""The run directory: what lies where in it, its record, how far it is, and the labels that people gave to its groups.

Begin in `run_directory`.
"""
