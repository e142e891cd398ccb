"""Who does the work of a run: this process, or Ray on a private cluster or one that is joined; progress, metrics, interrupts.

Begin in `engine`, which says what stages ask for; `local_engine` and `ray_engine` do it.
"""
