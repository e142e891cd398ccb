"""What people do with a run that has ended: ask its catalog, and name its groups.

Begin in `query` for `tuningfork query`, in `label` for `tuningfork label`.
"""
