"""A data root's videos, encoded anew so that they decode fast.

``packer`` goes through a root, ``encoding`` writes and verifies one video, ``person``
chooses whom a crop follows, ``journal`` remembers what is done, ``tables`` carries
tables and skeletons over. Needs PyAV and numpy, no torch.
"""
