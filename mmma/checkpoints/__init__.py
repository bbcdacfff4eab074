"""Weights: reading files without running code from them, and putting them in models.

Everything this toolbox writes is tensors and plain types (:func:`to_plain`), so all of
it loads with ``weights_only=True``; a pickle of another program needs the user's trust.
Importing this package loads neither torch nor MMEngine.
"""

from mmma.checkpoints.download import RemoteFile, cache_folder, fetch_file, fetch_url
from mmma.checkpoints.files import file_sha256, load_weights_file, to_plain
from mmma.checkpoints.loading import (
    check_simulated,
    load_state,
    load_trained,
    meta_of,
    weights_of,
)

__all__ = [
    'RemoteFile', 'cache_folder', 'check_simulated', 'fetch_file', 'fetch_url',
    'file_sha256', 'load_state', 'load_trained', 'load_weights_file', 'meta_of',
    'to_plain', 'weights_of',
]  # fmt: skip
