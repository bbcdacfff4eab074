# TSM-R50 for emotions, and faces: trained as tsm_mma82.py is;
# `emotion.py fuse` joins it with the scores of faces in this file of the data root.
# Expected: – (real data not seen). The paper has 32.86 top-1, of 210 videos.
_base_ = 'tsm_mma82.py'

face = dict(scores='faces.csv')
