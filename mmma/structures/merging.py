"""One list of detections per level from the windows of a video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mmma.structures.detections import Detections
from mmma.structures.segments import NmsOptions
from mmma.taxonomy import check_choice

MERGE_RULES = ('relabel', 'head')
"""Where bodies come from: actions relabelled before NMS, or the body head."""


@dataclass(frozen=True)
class MergeOptions:
    """How the windows of a video become its detections.

    Attributes:
        nms: Of each level by itself.
        bodies: ``relabel`` or ``head``.
        max_candidates: Of a video and level before NMS, the best; so that memory does
            not grow with the video.

    Raises:
        ValueError: Another rule, or no candidate.
    """

    nms: NmsOptions = field(default_factory=NmsOptions)
    bodies: str = 'relabel'
    max_candidates: int = 10_000

    def __post_init__(self) -> None:
        check_choice('bodies', self.bodies, MERGE_RULES)
        if self.max_candidates < 1:
            raise ValueError(
                f'max_candidates {self.max_candidates}: use at least 1 candidate.'
            )


class WindowMerger:
    """Takes the windows of one video, in any order, and merges them.

    What it holds is bounded by ``max_candidates`` and one window, however long the
    video is. As the best of all are the best of the best, the result does not depend
    on how windows are handed over.

    Args:
        body_of: (K,) body group of each action.
        options: Default: ``MergeOptions()``.
    """

    def __init__(
        self, body_of: Sequence[int], options: MergeOptions | None = None
    ) -> None:
        self.body_of = list(body_of)
        self.options = options or MergeOptions()
        self._kept: dict[str, Detections] = {}

    def add(self, actions: Detections, bodies: Detections | None = None) -> None:
        """Take a window.

        Args:
            actions: Before NMS, seconds of the video.
            bodies: Of the body head; only needed for the rule ``head``.

        Raises:
            ValueError: The rule is ``head`` and the model has no such head.
        """
        self._add('action', actions)
        if self.options.bodies == 'head':
            if bodies is None:
                raise ValueError(
                    "bodies 'head': the model has no body head. Use bodies 'relabel', "
                    'or a model whose head has body=dict().'
                )
            self._add('body', bodies)

    def candidates(self, level: str) -> Detections:
        """What is held of a level, in any order."""
        return self._kept.get(level, Detections.empty())

    def finish(self) -> dict[str, Detections]:
        """Detections by level, best first; the next video may be added then."""
        actions, bodies = self.candidates('action'), self.candidates('body')
        self._kept = {}
        if self.options.bodies == 'relabel':
            bodies = actions.to_bodies(self.body_of)
        levels = {'action': actions, 'body': bodies}
        return {level: found.nms(self.options.nms) for level, found in levels.items()}

    def _add(self, level: str, found: Detections) -> None:
        joined = Detections.concat([self.candidates(level), found])
        if len(joined) > self.options.max_candidates:
            joined = joined.top(self.options.max_candidates)
        self._kept[level] = joined
