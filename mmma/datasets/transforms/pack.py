"""The last step of a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmaction.datasets.transforms import PackActionInputs

from mmma.registry import TRANSFORMS

META_KEYS = ('img_shape', 'clip', 'index', 'domain', 'subject', 'body', 'broken')


@TRANSFORMS.register_module()
class PackClip(PackActionInputs):
    """MMAction2's packing, with what metrics and hooks need of a clip.

    Args:
        meta_keys: Keys that go into the sample's meta info, where they exist.
        **kwargs: As in ``PackActionInputs``.
    """

    def __init__(self, meta_keys: Sequence[str] = META_KEYS, **kwargs: Any) -> None:
        super().__init__(meta_keys=meta_keys, **kwargs)
