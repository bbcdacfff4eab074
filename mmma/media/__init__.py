"""Videos and skeletons made anew: packing a root, pose from its videos.

Needs PyAV and numpy, no torch; libraries of pose estimation load in the workers.
"""
