"""Skeletons from video: body, feet and hands of every frame into a root's store.

``extractors`` is the interface and its options, ``mediapipe_backend`` and
``rtmlib_backend`` fill it, ``hands`` and ``tracking`` say whose is what, ``frames``
streams videos, ``partials`` remembers clips that are done, ``extraction`` goes through
a root, ``sheet`` draws what was found. Needs no GPU; libraries load in the workers.
"""
