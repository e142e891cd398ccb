"""What people do with a finished run: query its catalog, and name its groups.

Begin in `query` for `tuningfork query`, in `label` for `tuningfork label`.
"""
