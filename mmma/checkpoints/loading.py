"""Putting the weights of a checkpoint into a model, and refusing what does not fit."""

import re
import sys
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmma.foreign import has_controls, shown
from mmma.taxonomy import own_table

RULES = own_table('weights')
"""Names of weights of other programs and what they are here, for :func:`new_name`."""
MIN_MATCHED = 0.95
_HEAD = 'cls_head'  # of MMAction2's recognizers, and its classifiers
_CLASSIFIERS = ('fc_cls', 'fc')
_MISMATCH = re.compile(r'(?:size mismatch for |parameter named ")([\w.]+)')
_CONTAINERS = (
    *('state_dict_ema', 'model_ema', 'ema', 'params_ema'),
    *('state_dict', 'model', 'module', 'model_state', 'model_state_dict', 'net'),
    'params',
)
_INSIDE = r'(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.'
_WRAPPERS = re.compile(rf'^(?:module\.|{_INSIDE})+|(?<=\.){_INSIDE}')
"""Parts of names that torch's wrappers add: DataParallel, compile, FSDP."""
_DEPTH = 3  # of containers in each other


def weights_of(checkpoint: Any, source: str = 'the checkpoint') -> dict[str, Any]:
    """The weights in a checkpoint, by name, without what torch's wrappers add to names.

    Averaged (EMA) weights are preferred: MMEngine's EMA hook keeps them in
    ``state_dict``, others in ``state_dict_ema``, ``model_ema`` and the like. A
    container of weights may have any key if no other holds as many.

    Raises:
        ValueError: It holds no weights, or odd names: twice without the wrappers.
    """
    found = _tensors_in(checkpoint, _CONTAINERS)
    if not found:
        raise ValueError(
            f'{source} holds no weights: a {type(checkpoint).__name__} '
            f'with {_listed(checkpoint)}. Of several sets as large, keep one.'
        )
    wrapped = sorted({part for name in found for part in _WRAPPERS.findall(name)})
    if wrapped:
        print(f'names of weights: {_listed(wrapped)} left out', file=sys.stderr)
        found.pop('n_averaged', None)  # torch's AveragedModel counts there
    weights = {_WRAPPERS.sub('', name): value for name, value in found.items()}
    if len(weights) < len(found):
        raise ValueError(
            f'{source} has {len(found) - len(weights)} weights twice, with and '
            f'without {_listed(wrapped)} in their names: keep one of each.'
        )
    if odd := next(filter(has_controls, weights), None):
        raise ValueError(f'{source} has weights named {odd!r}: it is damaged.')
    return weights


def _tensors_in(
    content: Any, names: Sequence[str], depth: int = _DEPTH, others: bool = True
) -> dict[str, Any]:
    """Tensors by name, of the first container that has any, or most of the others."""
    import torch

    if not isinstance(content, Mapping):
        return {}
    for name in names if depth else ():
        if found := _tensors_in(content.get(name), names, depth - 1, others):
            return found
    tensors = {str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)}
    if tensors or not depth or not others:
        return tensors
    inner = [_tensors_in(v, names, depth - 1, False) for v in content.values()]
    *_, second, most = [{}, {}, *sorted(inner, key=len)]
    return most if len(most) > len(second) else {}


def new_name(name: str, program: str) -> str | None:
    """Our name of a weight of another program, empty to leave it out, None for none."""
    rules = ((re.fullmatch(pattern, name), new) for pattern, new in RULES[program])
    return next((match.expand(new) for match, new in rules if match), None)


def rename(state: dict[str, Any], names: Mapping[str, str], odd: list[str]) -> None:
    """Rename weights that a module is about to load, or drop them for an empty name."""
    for old, new in names.items():
        value = state.pop(old)
        if new:
            state[new] = value
    # The root, visited before, does not know the old names, and found them odd.
    odd[:] = [name for name in odd if name not in names]


def renamed(weights: Mapping[str, Any], program: str, what: str) -> dict[str, Any]:
    """Weights of another program under our names, in the same order.

    Raises:
        ValueError: A name that no rule is of: the weights are not ``what``.
    """
    names = {name: new_name(name, program) for name in weights}
    if unknown := [name for name, new in names.items() if new is None]:
        told = f'{len(unknown)} unknown names, first {", ".join(unknown[:5])}'
        raise ValueError(f'not {what}: {told}.')
    return {new: weights[name] for name, new in names.items() if new}


@dataclass(frozen=True)
class LoadReport:
    """Weights of a model that came from a file, and those that did not.

    Attributes:
        matched: Names in the model that were filled.
        missing, unexpected: Names in the model, and in the file, that the other lacks.
        mismatched: Names in both, of different shapes.
        ratio: Share of the model's parameters outside its head that were filled,
            counted by name.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]
    ratio: float

    def __str__(self) -> str:
        kinds = {k: getattr(self, k) for k in ('missing', 'unexpected', 'mismatched')}
        told = (f'{len(n)} {kind}: {_listed(n)}' for kind, n in kinds.items() if n)
        return '; '.join((f'{len(self.matched)} weights matched', *told))


def load_state(
    model: Any,
    weights: Mapping[str, Any],
    source: str = 'the checkpoint',
    min_matched: float = MIN_MATCHED,
) -> LoadReport:
    """Start a model from pretrained weights, and print what matched.

    The head does not count: one of another shape stays as it was. What most names begin
    with is left out, and weights of a bare backbone are taken as the model's
    ``backbone.``, where that matches more names. A part of the model with
    ``starts_fresh`` may be absent as a whole, and does not count then. The model is not
    wrapped, the weights are those of :func:`weights_of`.

    Raises:
        ValueError: Fewer than ``min_matched`` of the parameters that count matched.
    """
    report = _fill(model, _unpacked(model, weights, source, ('', 'backbone.')))
    print(f'{source}: {report}', file=sys.stderr)
    if report.ratio < min_matched:
        raise ValueError(
            f'{source} fits only {report.ratio:.1%} of the parameters outside the head '
            f'(at least {min_matched:.0%} needed): {report}. It belongs to another '
            'model; choose other weights, or train from scratch with --no-pretrained.'
        )
    return report


def _unpacked(
    model: Any, weights: Mapping[str, Any], source: str, starts: Sequence[str]
) -> Mapping[str, Any]:
    """Weights without a start of most names, or with another, if more then match."""
    forms, start, rest, size = [], '', weights, len(weights)
    while len(rest) == size:  # else two names are one
        forms.append((start, rest))
        heads = Counter(name.partition('.')[0] for name in rest if '.' in name)
        (head, count), *_ = (*heads.most_common(1), ('', 0))
        if 2 * count <= size:
            break
        start += f'{head}.'
        rest = {name.removeprefix(f'{head}.'): value for name, value in rest.items()}
    own = set(model.state_dict())
    every = [
        (s, {f'{t}{n}': v for n, v in f.items()}) for t in starts for s, f in forms
    ]
    start, found = max(every, key=lambda form: len(own & form[1].keys()))
    if start:
        text = f'{source}: names begin with {start!r}, which is left out'
        print(text, file=sys.stderr)
    return found


def _fill(model: Any, weights: Mapping[str, Any]) -> LoadReport:
    """Module by module, so that a module may adapt what is stored for it."""
    state = OrderedDict(weights)
    own = list(model.state_dict())
    found: tuple[list[str], ...] = ([], [], [])

    def visit(module: Any, prefix: str) -> None:
        module._load_from_state_dict(state, prefix, {}, True, *found)
        for name, child in module._modules.items():
            if child is not None:
                visit(child, f'{prefix}{name}.')

    visit(model, '')
    missing, unexpected, errors = found
    matches = ((_MISMATCH.search(error), error) for error in errors)
    mismatched = [match.group(1) if match else error for match, error in matches]
    absent = {*missing, *mismatched}
    fresh = (
        part
        for part, module in model.named_modules()
        if getattr(module, 'starts_fresh', False)
        and all(f'{part}.{name}' in absent for name, _ in module.named_parameters())
    )
    apart = tuple(f'{part}.' for part in (_HEAD, *fresh))
    counted = [n for n, _ in model.named_parameters() if not n.startswith(apart)]
    hits = sum(name not in absent for name in counted)
    # BatchNorm fills in a counter that the file lacks, and does not call it missing.
    kept = {n for n in own if n.endswith('.num_batches_tracked')} - weights.keys()
    return LoadReport(
        tuple(name for name in own if name not in absent | kept),
        tuple(missing),
        tuple(unexpected),
        tuple(mismatched),
        hits / len(counted) if counted else float(len(absent) < len(own)),
    )


def load_trained(
    model: Any,
    checkpoint: Mapping[str, Any],
    label_space: str,
    classes: Sequence[str],
    source: str = 'the checkpoint',
    bodies: Sequence[str] = (),
) -> LoadReport:
    """Put a trained checkpoint into the model it was trained as.

    Classes are matched by name: where the checkpoint has the same ones in another
    order, the rows of its classifiers are reordered. So are body groups, where the
    model scores them. Weights in half precision take the types of the model.

    Args:
        model: Built from the config to test.
        checkpoint: From :func:`load_weights_file`, of the file ``source``.
        label_space, classes: Of the data to test on; (K,) names, in their order.
        bodies: (B,) names of body groups, likewise; empty leaves them as stored.

    Raises:
        ValueError: The checkpoint is of another label space or of another model.
    """
    meta = meta_of(checkpoint)
    theirs = meta.get('label_space', label_space)
    stored = list(meta.get('classes') or classes)
    if theirs != label_space or set(stored) != set(classes):
        odd = sorted(set(stored) ^ set(classes))
        differ = f'; they differ in {_listed(odd, 3)}' if odd else ''
        raise ValueError(
            f'{source} was trained for label space {theirs!r} ({len(stored)} classes), '
            f'the data has {label_space!r} ({len(classes)}){differ}. Test it on data '
            'of its own label space.'
        )
    reorder = []
    if stored != list(classes):
        rows = _rows_of(model, 'class_layers', _CLASSIFIERS)
        if not rows:
            raise ValueError(
                f'{source} has its classes in another order than the data, and no '
                'classifier `cls_head.fc_cls` or `rpn_head.cls_head` to reorder.'
            )
        print(f'{source}: classes reordered by name', file=sys.stderr)
        reorder.append((rows, stored, classes))
    rows, groups = _rows_of(model, 'body_layers'), list(meta.get('bodies') or bodies)
    if rows and bodies and groups != list(bodies):
        if sorted(groups) != sorted(bodies):
            raise ValueError(
                f'{source} scores the body groups {_listed(groups, 9)}, the data has '
                f'{_listed(bodies, 9)}. Test it on data of its own label space.'
            )
        reorder.append((rows, groups, bodies))
    weights = weights_of(checkpoint, source)
    report = _fill(model, _unpacked(model, weights, source, ('',)))
    if report.missing or report.unexpected or report.mismatched:
        made = meta.get('config_name')
        hint = f' It was trained with {made}.' if made else ''
        raise ValueError(f'{source} is of another model: {report}.{hint}')
    for rows, own, names in reorder:
        order = [own.index(name) for name in names]
        for row in rows:
            row.data.copy_(row.data[order])
    return report


def meta_of(checkpoint: Any) -> dict[str, Any]:
    """Meta of a checkpoint; empty where it tells nothing."""
    meta = checkpoint.get('meta') if isinstance(checkpoint, Mapping) else None
    return dict(meta) if isinstance(meta, Mapping) else {}


def _rows_of(model: Any, kind: str, default: tuple[str, ...] = ()) -> list[Any]:
    """Parameters whose rows are classes or body groups, by what heads say of theirs."""
    found = []
    for name, module in model.named_modules():
        layers = getattr(module, kind, default if name == _HEAD else ())
        held = (getattr(module, layer, None) for layer in layers)
        found += [p for layer in held if layer is not None for p in layer.parameters()]
    return found


def _listed(names: Any, most: int = 5) -> str:
    if isinstance(names, (str, bytes, type)) or not hasattr(names, '__iter__'):
        return 'nothing'
    names = [shown(name)[:100] for name in names]
    return ', '.join(names[:most]) + (', ...' if len(names) > most else '') or 'nothing'


def check_simulated(
    meta: Mapping[str, Any], data_info: Any, allow: bool = False
) -> None:
    """Keep weights that were trained on simulated data away from real video.

    Raises:
        ValueError: They would meet, by :func:`meta_of` and the ``DatasetInfo``, and the
            user does not allow it.
    """
    data = meta.get('data') or {}
    if data.get('simulated') and not data_info.simulated and not allow:
        raise ValueError(
            f'these weights were trained on simulated data ({data.get("name")}) and '
            'say nothing about real video. To run them all the same: '
            '--allow-simulated.'
        )
