"""The TOML config as typed classes, a file a section.

Begin in `file`: a whole config, how it is loaded, and its sections. `check` says what is wrong with one; `reference` writes docs/config.md.
"""
