"""The folder that a command writes to: what may be one, and that only one command at a time works in it.

Begin in `lock`; `lock_file` is the file behind it, on disks and object stores.
"""
