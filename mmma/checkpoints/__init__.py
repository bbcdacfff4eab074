"""Weights: reading files without running code from them, and putting them in models.

Everything this toolbox writes is tensors and plain types (:func:`to_plain`), so all of
it loads with ``weights_only=True``; a pickle of another program needs the user's trust.
Importing this package loads neither torch nor MMEngine.
"""

from mmma.checkpoints.fetching import (
    cache_folder,
    fetch_file,
    fetch_pretrained,
    fetch_url,
)
from mmma.checkpoints.files import load_weights_file
from mmma.checkpoints.hashing import file_sha256
from mmma.checkpoints.loading import (
    LoadReport,
    check_simulated,
    load_state,
    load_trained,
    meta_of,
    weights_of,
)
from mmma.checkpoints.plain import to_plain
from mmma.checkpoints.remote import RemoteFile

__all__ = [
    'LoadReport',
    'RemoteFile',
    'cache_folder',
    'check_simulated',
    'fetch_file',
    'fetch_pretrained',
    'fetch_url',
    'file_sha256',
    'load_state',
    'load_trained',
    'load_weights_file',
    'meta_of',
    'to_plain',
    'weights_of',
]
