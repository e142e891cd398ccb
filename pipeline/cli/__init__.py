"""The command line, one file a group of commands; each prints through `printing`.

Begin in `main`: it holds the app, what all commands share, and their exit codes.
"""
