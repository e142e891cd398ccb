"""Tritonserver: model repositories for it, and its process.

Begin in `export` for `tuningfork export-encoder`, in `serve` for `tuningfork serve`.
"""
