# The compact skeleton model for emotions, and faces: trained as its leaf without is;
# `emotion.py fuse` joins it with the scores of faces in this file of the data root.
# This reproduces nothing.
_base_ = 'skeletontcn-tiny_mma82.py'

face = dict(scores='faces.csv')
