"""Joint trees as the graphs of MMAction2's graph networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmma.layout.joint_sets import joint_tree
from mmma.layout.joints import JointLayout


def graph_layout(
    layout: str | JointLayout | Mapping[str, Any], joints: str | Sequence[str] = 'all'
) -> dict[str, Any]:
    """What MMAction2's ``Graph`` takes as ``layout``.

    Args:
        layout: A joint layout: its name, its fields or itself.
        joints: A named set or V names, in the order of the model's input.

    Returns:
        ``num_node``, ``inward`` (pairs joint, parent) and ``center``.

    Raises:
        ValueError: An unknown layout, set or joint.
    """
    tree = joint_tree(layout, joints)
    return dict(num_node=len(tree.names), inward=tree.bones, center=tree.root)
