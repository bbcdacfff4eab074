import copy

import pytest

from mmma.protocols import (
    Protocol,
    draw_supports,
    make_protocol,
    selected_by,
    write_protocol,
)
from mmma.taxonomy import DOMAINS

INDOMAIN = {'name': 'indomain'}


def recipe():
    def loader():
        return {'dataset': {'type': 'ClipDataset', 'pipeline': []}}

    return {
        'label_space': 'mma82',
        'data_root': 'data/mma82',
        'model': {
            'cls_head': {'num_classes': 400},
            'data_preprocessor': {
                'blending': {'augments': [{'alpha': 1.0}, {'num_classes': 400}]}
            },
        },
        'optimizer': {'lr': 1.0, 'decay': 0.1},
        'train_dataloader': loader(),
        'val_dataloader': loader(),
        'test_dataloader': loader(),
        'protocol': dict(INDOMAIN),
    }


@pytest.mark.parametrize(
    ('flags', 'train', 'test'),
    [
        ({}, DOMAINS, DOMAINS),
        ({'domain': 'street'}, ('street',), ('street',)),
        ({'protocol': 'zeroshot'}, ('lab',), ('psychiatric', 'street', 'emotion')),
        ({'protocol': 'zeroshot', 'target': ['street']}, ('lab',), ('street',)),
        ({'protocol': 'fewshot', 'target': 'emotion'}, ('lab',), ('emotion',)),
        (
            {'protocol': 'zeroshot', 'source': 'street', 'target': 'lab'},
            ('street',),
            ('lab',),
        ),
        (
            {'protocol': 'zeroshot', 'source': 'rest', 'target': 'lab'},
            ('psychiatric', 'street', 'emotion'),
            ('lab',),
        ),
        (
            {'protocol': 'fewshot', 'source': 'rest', 'target': ['street']},
            ('lab', 'psychiatric', 'emotion'),
            ('street',),
        ),
    ],
)
def test_whose_clips_train_and_test(flags, train, test):
    protocol = make_protocol(INDOMAIN, flags)
    assert (protocol.train_domains, protocol.test_domains) == (train, test)


def test_flags_win_over_the_config_of_the_same_protocol():
    configured = {'name': 'fewshot', 'shots': [5], 'runs': 3}
    assert make_protocol(configured, {'runs': 7}).shots == (5,)
    assert make_protocol(configured, {'runs': 7}).runs == 7
    assert make_protocol(configured, {'protocol': 'zeroshot'}).name == 'zeroshot'


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        ({'protocol': 'fewshots'}, "unknown protocol 'fewshots'.*Did you mean"),
        ({'domain': 'stret'}, "unknown domain 'stret'.*Did you mean 'street'"),
        ({'target': ['street']}, "--target is no option of protocol 'indomain'"),
        ({'protocol': 'zeroshot', 'domain': 'lab'}, '--domain is no option'),
        ({'protocol': 'zeroshot', 'shots': [1]}, '--shots is no option'),
        ({'protocol': 'zeroshot', 'target': ['lab']}, "'lab' is the source"),
        ({'protocol': 'zeroshot', 'target': ['mars']}, "unknown target 'mars'"),
        ({'protocol': 'zeroshot', 'target': []}, 'name each target once'),
        ({'protocol': 'fewshot', 'target': ['street'] * 2}, 'name each target once'),
        ({'protocol': 'fewshot', 'shots': [0]}, '--shots 0: use whole numbers from 1'),
        ({'protocol': 'fewshot', 'shots': [5, 5]}, 'name each number once'),
        ({'protocol': 'fewshot', 'runs': 0}, '--runs 0'),
        ({'seed': -1}, '--seed -1'),
        ({'source': 'rest'}, "--source is no option of protocol 'indomain'"),
        ({'protocol': 'zeroshot', 'source': 'rset'}, "source 'rset'.* 'rest'"),
        ({'protocol': 'zeroshot', 'source': 'rest'}, 'name one --target of lab, psy'),
        (
            {'protocol': 'fewshot', 'source': 'rest', 'target': ['lab', 'street']},
            'each target has a model of its own',
        ),
        (
            {'protocol': 'zeroshot', 'source': 'street', 'target': 'street'},
            "'street' is the source.* tests on lab, psychiatric, emotion",
        ),
    ],
)
def test_bad_flags(flags, message):
    with pytest.raises(ValueError, match=message):
        make_protocol(INDOMAIN, flags)


def test_a_config_without_protocol():
    with pytest.raises(ValueError, match='the config names no protocol'):
        make_protocol({})


def test_writing_sets_every_dataset_seed_root_and_classes():
    cfg = recipe()
    flags = {'protocol': 'zeroshot', 'target': ['street'], 'seed': 3}
    write_protocol(cfg, make_protocol(INDOMAIN, flags), data_root='elsewhere')
    picked = {
        s: (cfg[f'{s}_dataloader']['dataset']['subset'],
            cfg[f'{s}_dataloader']['dataset']['domains'],
            cfg[f'{s}_dataloader']['dataset']['data_root'])
        for s in ('train', 'val', 'test')
    }  # fmt: skip
    assert picked == {
        'train': ('train', ['lab'], 'elsewhere'),
        'val': ('val', ['lab'], 'elsewhere'),
        'test': ('test', ['street'], 'elsewhere'),
    }
    assert cfg['randomness'] == {'seed': 3}
    blending = cfg['model']['data_preprocessor']['blending']
    parts = [cfg['model']['cls_head'], *blending['augments']]
    assert [part['num_classes'] for part in parts] == [82, 82, 82]
    assert cfg['protocol'] == {'name': 'zeroshot', 'target': ['street'], 'seed': 3}


def test_writing_twice_changes_nothing():
    cfg = recipe()
    write_protocol(cfg, make_protocol(INDOMAIN, {'protocol': 'fewshot'}))
    once = copy.deepcopy(cfg)
    write_protocol(cfg, make_protocol(cfg['protocol']))
    assert cfg == once


def test_the_head_of_a_detector_gets_classes_and_label_space():
    head = {'type': 'TriDetHead', 'label_space': 'mma82'}
    model = {'type': 'SegmentDetector', 'head': dict(head)}
    cfg = {'task': 'det', 'label_space': 'ma52', 'model': model}
    write_protocol(cfg, make_protocol(INDOMAIN))
    assert cfg['model']['head'] == {**head, 'num_classes': 52, 'label_space': 'ma52'}


def test_detection_refuses_fewshot():
    with pytest.raises(ValueError, match='few-shot is for recognition'):
        write_protocol({'task': 'det'}, Protocol('fewshot'))


def test_supports_are_nested_and_bounded_by_what_exists():
    labels = {f'{c}-{i}': c for c, n in [(3, 1), (7, 4), (9, 20)] for i in range(n)}
    protocol = Protocol('fewshot', shots=(1, 5, 10))
    draw = draw_supports(labels, 'street', protocol, run=0)
    assert {k: len(v) for k, v in draw.items()} == {1: 3, 5: 1 + 4 + 5, 10: 1 + 4 + 10}
    assert set(draw[1]) < set(draw[5]) < set(draw[10])
    assert {labels[n] for n in draw[1]} == {labels[n] for n in draw[10]} == {3, 7, 9}


def test_support_draws_depend_on_run_seed_and_target_but_not_on_order_or_shots():
    labels = {f'{i:03d}': 0 for i in range(100)}
    protocol = Protocol('fewshot', shots=(5,))
    first = draw_supports(labels, 'street', protocol, 0)[5]
    shuffled = dict(reversed(labels.items()))
    wider = Protocol('fewshot', shots=(5, 50))
    assert draw_supports(shuffled, 'street', protocol, 0)[5] == first
    assert draw_supports(labels, 'street', wider, 0)[5] == first
    assert draw_supports(labels, 'street', protocol, 1)[5] != first
    assert draw_supports(labels, 'emotion', protocol, 0)[5] != first
    seeded = Protocol('fewshot', shots=(5,), seed=1)
    assert draw_supports(labels, 'street', seeded, 0)[5] != first


def test_strict_shots_and_empty_targets_are_errors():
    strict = Protocol('fewshot', shots=(2,), strict_shots=True)
    with pytest.raises(ValueError, match=r'1 classes of target .* \(class 4: 1\)'):
        draw_supports({'a': 4, 'b': 5, 'c': 5}, 'street', strict, 0)
    with pytest.raises(ValueError, match="target 'street' has no labelled clip"):
        draw_supports({}, 'street', strict, 0)


@pytest.mark.parametrize(
    ('protocol', 'tag'),
    [
        (Protocol('indomain'), 'indomain'),
        (Protocol('indomain', domain='street', seed=2), 'indomain-street-seed2'),
        (Protocol('zeroshot'), 'zeroshot'),
        (Protocol('zeroshot', source='street', seed=2), 'zeroshot-from-street-seed2'),
        (
            Protocol('zeroshot', source='rest', target=('lab',)),
            'zeroshot-from-rest-lab',
        ),
    ],
)
def test_tags_name_folders(protocol, tag):
    assert protocol.tag() == tag


@pytest.mark.parametrize(
    ('head', 'space'),
    [
        ({'type': 'ActionHead', 'label_space': 'mma82'}, 'ma52'),
        ({'type': 'TSMHead'}, None),
    ],
)
def test_heads_that_know_a_label_space_get_that_of_the_config(head, space):
    cfg = recipe() | {'label_space': 'ma52', 'model': {'cls_head': head}}
    write_protocol(cfg, make_protocol(INDOMAIN))
    assert head['num_classes'] == 52
    assert head.get('label_space') == space


def test_a_protocol_of_own_domains():
    own = (('a', 'b', 'c'), 'b')
    plain = make_protocol(INDOMAIN, None, *own)
    assert plain.test_domains == ('a', 'b', 'c')
    protocol = make_protocol(INDOMAIN, {'protocol': 'zeroshot'}, *own)
    assert (protocol.train_domains, protocol.target) == (('b',), ('a', 'c'))
    assert make_protocol(protocol.as_dict()) == protocol  # needs no data
    assert make_protocol(protocol.as_dict(), None, ('b', 'a', 'c'), 'b').source == 'b'
    assert 'domains' not in make_protocol(INDOMAIN, None, DOMAINS, 'lab').as_dict()
    with pytest.raises(ValueError, match=r"unknown domain 'lab': use one of all, a, b"):
        make_protocol(INDOMAIN, {'domain': 'lab'}, *own)
    with pytest.raises(ValueError, match=r"target 'b' is the source: .* tests on a, c"):
        make_protocol(INDOMAIN, {'protocol': 'fewshot', 'target': 'b'}, *own)


def test_all_domains_but_one_train_in_a_root_of_own_domains():
    own = (('a', 'b', 'c'), 'b')
    flags = {'protocol': 'zeroshot', 'source': 'rest', 'target': ['b']}
    protocol = make_protocol(INDOMAIN, flags, *own)
    assert (protocol.train_domains, protocol.test_domains) == (('a', 'c'), ('b',))
    recorded = protocol.as_dict()
    assert (recorded['source'], recorded['target']) == ('rest', ['b'])
    assert make_protocol(recorded) == make_protocol(recorded, None, *own) == protocol
    assert make_protocol(recorded, {'protocol': 'indomain'}, *own).source == 'b'
    cfg = recipe()
    write_protocol(cfg, protocol)
    picked = [cfg[f'{s}_dataloader']['dataset']['domains'] for s in ('train', 'val')]
    assert picked == [['a', 'c'], ['a', 'c']]


def test_the_source_of_a_config_counts_unless_it_is_of_other_domains():
    configured = {'name': 'zeroshot', 'source': 'street'}
    assert make_protocol(configured).train_domains == ('street',)
    assert make_protocol(configured, {'source': 'lab'}).train_domains == ('lab',)
    assert make_protocol(configured, None, DOMAINS, 'lab').source == 'street'
    other_root = {'name': 'zeroshot', 'domains': ['x', 'y'], 'source': 'y'}
    assert make_protocol(other_root, None, DOMAINS, 'lab').source == 'lab'
    with pytest.raises(ValueError, match="unknown source 'mars'"):
        make_protocol({'name': 'zeroshot', 'source': 'mars'}, None, DOMAINS, 'lab')


def test_what_chose_a_checkpoint_has_a_name():
    told = {'subset': 'val', 'domains': ['lab', 'street'], 'metric': 'action/top1'}
    assert selected_by(told, ()) == 'source-val'
    assert selected_by(told, ('emotion',)) == 'source-val'
    assert selected_by(told, ('emotion', 'street')) == 'target-val'
    assert selected_by({'by': 'last'}, ('street',)) == 'last'
    assert selected_by({}, ('street',)) == 'unknown'


def test_one_domain_has_only_indomain():
    assert make_protocol(INDOMAIN, None, ['a'], 'a').train_domains == ('a',)
    with pytest.raises(ValueError, match="the data have only 'a': use --protocol ind"):
        make_protocol(INDOMAIN, {'protocol': 'zeroshot'}, ['a'], 'a')


def test_values_of_other_kinds_are_refused():
    for odd in (
        {'seed': []},
        {'seed': {'a': 1}},
        {'shots': 'x'},
        {'shots': None},
        {'runs': 'x'},
        {'domains': 3},
        {'domains': ['lab', 3]},
    ):
        with pytest.raises(ValueError, match='seed, runs and shots are whole numbers'):
            make_protocol({'name': 'fewshot', **odd})
