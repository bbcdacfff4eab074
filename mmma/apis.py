"""Names for tools and notebooks; those that need torch load when asked for."""

from typing import Any

from mmma.config import load_config as load_config
from mmma.data.root import read_root as read_root
from mmma.taxonomy import SUBSETS, check_choice

_INFERENCE = ('detect', 'look_at', 'open_model', 'recognize')


def build_dataset(cfg: Any, subset: str = 'train') -> Any:
    """The data set of a config, with the samples that training or testing sees.

    Args:
        cfg: From :func:`load_config`.
        subset: Whose loader of the config: ``train``, ``val`` or ``test``.

    Raises:
        FileNotFoundError: There are no such data.
        ValueError: The data do not fit the config.
    """
    from mmengine.registry import DefaultScope

    from mmma.registry import DATASETS

    loader = cfg[f'{check_choice("subset", subset, SUBSETS)}_dataloader']
    with DefaultScope.overwrite_default_scope('mmma'):
        return DATASETS.build(loader.dataset)


def __getattr__(name: str) -> object:
    if name in _INFERENCE:
        from mmma.engine import infer

        return getattr(infer, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
