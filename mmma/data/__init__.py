"""The files of a data root: reading, writing, checking, converting.

Needs neither torch nor MMAction2: the standard library and numpy are enough, and what
decodes video is imported where it is used.
"""
