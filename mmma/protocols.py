"""Protocols: whose clips train, adapt, validate and test a model.

============  =======================  =========================  ================
name          trains and validates on  adapts on                  tests on
============  =======================  =========================  ================
``indomain``  one domain or all        nothing                    the same domains
``zeroshot``  the source               nothing                    each target
``fewshot``   the source               K clips per class of the   each target
                                       target's train subset
``adapt``     the source               clips of the target,       each target
                                       without their labels
============  =======================  =========================  ================

Zero-shot means that no clip of the target domain is trained on; its classes are not
unseen. Domains, and which of them is the source, are the data root's; ``--source``
names another, or ``rest``: all but the target, which leaves one domain out.
:func:`write_protocol` is the only place that writes a protocol into a config.

Source: arXiv 2606.14096, section on protocols; what the paper leaves open is an
option here and is recorded in every result.
"""

import zlib
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmma.taxonomy import DOMAINS, SUBSETS, check_choice, load_label_space

PROTOCOLS = ('indomain', 'zeroshot', 'fewshot', 'adapt')
_ADAPTING = {'fewshot': 'few-shot', 'adapt': 'adaptation without labels'}
REST = 'rest'
"""Source of a model that all domains but its one target train."""

_OPTIONS = {
    'indomain': ('domain',),
    'zeroshot': ('target',),
    'fewshot': ('target', 'shots', 'runs', 'strict_shots'),
    'adapt': ('target',),
}


@dataclass(frozen=True)
class Protocol:
    """One protocol with every option filled in.

    Attributes:
        name: One of ``PROTOCOLS``.
        domain: ``all`` or the one domain of ``indomain``.
        target: Domains that all but ``indomain`` test on; default: all but the source.
        shots: Support clips per class of ``fewshot``, one experiment for each.
        runs: Support draws per number of shots.
        strict_shots: A class with too few clips is an error, not a smaller support.
        seed: Of training, of the support draws, of the order of clips adapted to.
        domains: All domains of the data.
        source: That all but ``indomain`` train on; ``rest``: all but the target.
    """

    name: str
    domain: str = 'all'
    target: tuple[str, ...] = ()
    shots: tuple[int, ...] = (1, 5, 10)
    runs: int = 5
    strict_shots: bool = False
    seed: int = 0
    domains: tuple[str, ...] = DOMAINS
    source: str = DOMAINS[0]

    @property
    def targets(self) -> tuple[str, ...]:
        """Domains that all protocols but ``indomain`` can test on."""
        return tuple(d for d in self.domains if d != self.source)

    @property
    def train_domains(self) -> tuple[str, ...]:
        """Domains whose train and val subsets are used before any adaptation."""
        if self.name == 'indomain':
            return self.domains if self.domain == 'all' else (self.domain,)
        if self.source == REST:
            return tuple(d for d in self.domains if d not in self.target)
        return (self.source,)

    @property
    def test_domains(self) -> tuple[str, ...]:
        """Domains whose test subset is scored."""
        return self.train_domains if self.name == 'indomain' else self.target

    def as_dict(self) -> dict[str, Any]:
        """Name, seed and the options that this protocol has, as plain types.

        Domains and source are there where they are not MMA-82's.
        """
        values = {k: [*v] if isinstance(v, tuple) else v for k, v in vars(self).items()}
        kept = ('name', *_OPTIONS[self.name], 'seed')
        if (self.domains, self.source) != (DOMAINS, DOMAINS[0]):
            kept += ('domains', 'source')
        return {key: values[key] for key in kept}

    def tag(self) -> str:
        """Short name for folders: ``indomain-street``, ``zeroshot-from-rest-street``.

        What is usual is left out: all domains, the first as source, seed 0.
        """
        parts = [self.name]
        if self.name == 'indomain':
            parts += [self.domain] if self.domain != 'all' else []
        elif self.source != self.domains[0]:
            parts += ['from', self.source]
            parts += self.target if self.source == REST else []
        return '-'.join([*parts, *([f'seed{self.seed}'] if self.seed else [])])


def make_protocol(
    configured: Mapping[str, Any],
    flags: Mapping[str, Any] | None = None,
    domains: Sequence[str] | None = None,
    source: str | None = None,
) -> Protocol:
    """Join what a config says with what the command line says.

    An unknown name or value, and an option of another protocol, raise ValueError.

    Args:
        configured: The config's ``protocol``; its options count only while the
            flags do not choose another protocol.
        flags: Given by a user: ``protocol`` and its options, ``source``, ``seed``; None
            is 'not given'.
        domains: Of the data root; None takes the config's, else those of MMA-82.
        source: Source domain of the root, where neither flags nor config name one; a
            config's counts if it is of these domains.
    """
    given = {k: v for k, v in (flags or {}).items() if v is not None}
    configured = dict(configured)
    own_name = configured.pop('name', None)
    told, own_source = configured.pop('domains', None), configured.pop('source', None)
    told = told if isinstance(told, (list, tuple)) or not told else [told]
    domains = tuple(domains or told or DOMAINS)
    name = given.pop('protocol', own_name)
    if name is None:
        raise ValueError(
            'the config names no protocol: add `protocol = dict(name=...)` or '
            f'--protocol, one of {", ".join(PROTOCOLS)}.'
        )
    check_choice('protocol', name, PROTOCOLS)
    if name != own_name:
        configured = {k: v for k, v in configured.items() if k == 'seed'}
    options = {**configured, **given}
    allowed = (*_OPTIONS[name], 'seed', *(['source'] if name != 'indomain' else []))
    for key in options:
        if key not in allowed:
            raise ValueError(
                f'--{key.replace("_", "-")} is no option of protocol {name!r}, which '
                f'has {", ".join("--" + a.replace("_", "-") for a in allowed)}.'
            )
    for key in ('target', 'shots'):
        if key in options:
            value = options[key]
            several = isinstance(value, (list, tuple))
            options[key] = tuple(value) if several else (value,)
    shots = options.get('shots', ())
    numbers = (options.get('seed', 0), options.get('runs', 1), *shots)
    right = all(isinstance(number, (int, float)) for number in numbers)
    if not right or not all(isinstance(domain, str) for domain in domains):
        raise ValueError(
            f'protocol {name}: seed, runs and shots are whole numbers and domains are '
            f'names, not {configured} of {domains}'
        )
    kept = own_source in domains or tuple(told or domains) == domains
    if own_source and (name != 'indomain' if own_source == REST else kept):
        source = own_source
    options = {'source': source or domains[0], **options}
    protocol = Protocol(name=name, domains=domains, **options)
    if 'target' not in options:
        protocol = replace(protocol, target=protocol.targets)
    _check(protocol)
    return protocol


def write_protocol(
    cfg: MutableMapping[str, Any], protocol: Protocol, data_root: str | None = None
) -> None:
    """Write a protocol into a config, in place; writing it twice changes nothing.

    Sets ``protocol``, the subset and domains of every dataset, the seed, the data
    root (None keeps it), the label space of datasets and head and the number of
    classes. The head is ``model.cls_head``, in detection ``model.head``. Detection
    that adapts raises ValueError.
    """
    task = cfg.get('task', 'rec')
    if task == 'det' and protocol.name in _ADAPTING:
        told = f'{_ADAPTING[protocol.name]} is for recognition'
        raise ValueError(f'{told}; detection takes indomain and zeroshot.')
    cfg['protocol'] = protocol.as_dict()
    if data_root is not None:
        cfg['data_root'] = str(data_root)
    for subset in SUBSETS:
        if loader := cfg.get(f'{subset}_dataloader'):
            tested = subset == 'test'
            domains = protocol.test_domains if tested else protocol.train_domains
            loader['dataset'].update(subset=subset, domains=list(domains))
            for key in (k for k in ('data_root', 'label_space', 'label') if k in cfg):
                loader['dataset'][key] = cfg[key]  # update would mix label spaces
    cfg['randomness'] = dict(cfg.get('randomness') or {}, seed=protocol.seed)
    if 'label_space' in cfg:
        model = cfg.get('model') or {}
        head = model.get('head' if task == 'det' else 'cls_head') or {}
        blending = (model.get('data_preprocessor') or {}).get('blending') or {}
        num_classes = load_label_space(cfg['label_space']).num_actions
        for part in (head, *blending.get('augments', [])):  # these blend labels
            part['num_classes'] = num_classes
        if 'label_space' in head:  # MMAction2's heads know none
            head['label_space'] = cfg['label_space']


def selected_by(told: Mapping[str, Any], targets: Sequence[str]) -> str:
    """Name of what chose a checkpoint, by ``selected_on`` of it or of results.

    ``targets`` are tested on, and are not to train it. It is ``source-val``,
    ``target-val``, ``last`` (no validation chose), or ``unknown``.
    """
    on_target = set(targets) & set(told.get('domains') or ())
    named = 'target-val' if on_target else 'source-val'
    return str(told.get('by') or (named if told.get('domains') else 'unknown'))


def draw_supports(
    labels: Mapping[str, int], target: str, protocol: Protocol, run: int
) -> dict[int, list[str]]:
    """Draw the support clips of one few-shot run, for every number of shots.

    Supports are nested: those of fewer shots are part of those of more. A class with
    fewer than K clips gives all it has, or raises ValueError under ``strict_shots``, as
    no clips at all do; every K has the same classes.

    Args:
        labels: Action index of each labelled clip of the target's train subset.
        run: Number of the draw, from 0.

    Returns:
        Clip names for each number of shots, sorted.
    """
    import numpy as np

    if not labels:
        raise ValueError(
            f'target {target!r} has no labelled clip in its train subset: there is '
            'nothing to draw supports from. Choose another --target.'
        )
    by_class: dict[int, list[str]] = {}
    for name in sorted(labels):
        by_class.setdefault(labels[name], []).append(name)
    most = max(protocol.shots)
    short = {c: len(n) for c, n in sorted(by_class.items()) if len(n) < most}
    if protocol.strict_shots and short:
        first = ', '.join(f'class {c}: {n}' for c, n in list(short.items())[:5])
        raise ValueError(
            f'{len(short)} classes of target {target!r} have fewer than {most} clips '
            f'({first}): lower --shots or drop --strict-shots.'
        )
    key = (protocol.seed, run, zlib.crc32(target.encode()))
    orders = {
        c: np.random.default_rng([*key, c]).permutation(len(names))
        for c, names in by_class.items()
    }
    return {
        k: sorted(by_class[c][i] for c, order in orders.items() for i in order[:k])
        for k in protocol.shots
    }


def _check(protocol: Protocol) -> None:
    check_choice('source', protocol.source, (*protocol.domains, REST))
    if protocol.domain != 'all':
        check_choice('domain', protocol.domain, ('all', *protocol.domains))
    for target in protocol.target:
        check_choice('target', target, protocol.domains)
        if target == protocol.source:
            raise ValueError(
                f'target {target!r} is the source: {protocol.name} trains on '
                f'{target!r} and tests on {", ".join(protocol.targets)}. For '
                f'{target!r} itself use --protocol indomain --domain {target}.'
            )
    crosses = protocol.name != 'indomain'
    if crosses and len(protocol.domains) == 1:
        raise ValueError(
            f'{protocol.name} tests on domains beside the source, and the data have '
            f'only {protocol.domains[0]!r}: use --protocol indomain.'
        )
    if crosses and protocol.source == REST and len(protocol.target) != 1:
        raise ValueError(
            '--source rest trains on all domains but the target, so each target has a '
            f'model of its own: name one --target of {", ".join(protocol.domains)}.'
        )
    if len(set(protocol.target)) < max(len(protocol.target), crosses):
        raise ValueError(f'--target {list(protocol.target)}: name each target once.')
    if not protocol.shots or any(int(k) != k or k < 1 for k in protocol.shots):
        raise ValueError(
            f'--shots {" ".join(map(str, protocol.shots))}: use whole numbers from 1; '
            'for no shots use --protocol zeroshot.'
        )
    if len(set(protocol.shots)) < len(protocol.shots):
        raise ValueError(f'--shots {list(protocol.shots)}: name each number once.')
    if protocol.runs < 1:
        raise ValueError(f'--runs {protocol.runs}: use a whole number from 1.')
    if protocol.seed < 0:
        raise ValueError(f'--seed {protocol.seed}: use a whole number from 0.')
