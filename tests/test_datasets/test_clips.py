"""Clips of a root: randomness, selection, samples, broken videos."""

import itertools
import os
import pickle
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader
from video_files import make_span_root, read_numbers

from mmma.config import find_config
from mmma.data.arrays import SkeletonWriter
from mmma.data.clips import write_rec
from mmma.data.joints import WHOLEBODY65
from mmma.data.root import DataRoot
from mmma.datasets.clips import ClipDataset, RootDataset, sample_rng
from mmma.datasets.samplers import EpochSampler, SampleKey
from mmma.datasets.windows import UntrimmedDataset
from mmma.media.encode import PackOptions
from mmma.media.pack import pack_root
from mmma.registry import DATASETS


def draw():
    return random.random(), np.random.rand(), torch.rand(()).item()


def drawn_with(*key):
    with sample_rng(SampleKey(*key)):
        return draw()


def test_a_key_decides_and_each_part_of_it_counts():
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0, 1)]
    draws = [drawn_with(*key) for key in keys]
    assert draws == [drawn_with(*key) for key in keys]
    for column in zip(*draws, strict=True):
        assert len(set(column)) == len(keys)


def test_global_generators_go_on_as_if_nothing_had_been():
    def seed():
        random.seed(3)
        np.random.seed(3)
        torch.manual_seed(3)

    seed()
    undisturbed = draw()
    seed()
    drawn_with(1, 2, 3)
    assert draw() == undisturbed
    seed()
    with pytest.raises(ZeroDivisionError), sample_rng(SampleKey(1, 2, 3)):
        random.random() / 0
    assert draw() == undisturbed


@pytest.fixture(params=[(ClipDataset, 'video_root'), (UntrimmedDataset, 'det_root')])
def dataset(request):
    kind, root = request.param
    return kind(request.getfixturevalue(root), 'train', [], lazy_init=True)


def test_samples_are_listed_once_the_table_is_read(dataset):
    columns = set(dataset.columns)
    assert not columns & set(dataset.metainfo)
    assert dataset.metainfo['bodies'][0] == 'body'
    assert {len(dataset.metainfo[c]) for c in columns & set(dataset.metainfo)} == set()
    dataset.full_init()
    assert {len(dataset.metainfo[column]) for column in columns} == {len(dataset)}


def test_metainfo_is_not_copied(dataset):
    dataset.full_init()
    assert dataset.metainfo['labels'] is dataset.metainfo['labels']


def test_it_needs_a_table(video_root):
    with pytest.raises(TypeError, match='abstract'):
        RootDataset(video_root, 'train', [])


BASES = Path(__file__).resolve().parents[2] / 'configs/_base_/datasets'
PIPELINE = [
    {'type': 'OpenVideo'},
    {'type': 'UniformFrames', 'clip_len': 4},
    {'type': 'DecodeFrames'},
    {'type': 'RandomResizedCrop', 'area_range': (0.5, 1.0)},
    {'type': 'Resize', 'scale': (24, 24), 'keep_ratio': False},
    {'type': 'Flip', 'flip_ratio': 0.5},
    {'type': 'FormatShape', 'input_format': 'NCTHW'},
    {'type': 'PackClip'},
]


def build(root, subset='train', **options):
    cfg = {'data_root': str(root), 'subset': subset, 'pipeline': PIPELINE, **options}
    return DATASETS.build({'type': 'ClipDataset', '_scope_': 'mmma', **cfg})


@pytest.fixture
def own_root(video_root, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(video_root, tmp_path / 'root')


def rewrite(root, change):
    """Rewrite the table with ``change(clip)`` in the place of each clip."""
    data = DataRoot(root)
    clips = [change(clip) for clip in data.read_rec()]
    write_rec(root / 'rec.csv', clips, data.label_space())


def spoil(root, *names):
    for name in names:
        (root / f'videos/{name.split("_")[0]}/{name}.mp4').write_bytes(b'')


def test_what_a_sample_says(video_root):
    dataset = build(video_root, 'val', domains=['street'])
    info = dataset.get_data_info(1)
    assert info.pop('sample_idx') == 1
    assert info == {
        'clip': 'street_val_1',
        'index': 1,
        'filename': f'{video_root}/videos/street/street_val_1.mp4',
        'data_root': str(video_root),
        'label': 41,
        'body': dataset.metainfo['body_of'][41],
        'subset': 'val',
        'domain': 'street',
        'subject': 's11',
        'modality': 'RGB',
        'start_index': 0,
    }
    data = dataset[1]
    assert data['inputs'].shape == (1, 3, 4, 24, 24)
    assert data['data_samples'].clip == 'street_val_1'
    assert data['data_samples'].gt_label.tolist() == [41]


def test_metainfo(video_root):
    meta = build(video_root, domains=['lab', 'emotion']).metainfo
    assert meta['label_space'] == 'mma82'
    assert [len(meta[k]) for k in ('classes', 'bodies', 'body_of')] == [82, 7, 82]
    assert meta['clips'][1:4] == ['lab_train_1', 'lab_train_2', 'emotion_train_0']
    assert meta['labels'] == [0, 7, 20, 41, 63, 0]
    assert meta['domains'] == ['lab'] * 3 + ['emotion'] * 3
    assert meta['subjects'][:2] == ['l00', 'l01']
    assert pickle.loads(pickle.dumps(meta)) == meta


def test_body_groups_of_the_root_win(own_root):
    def in_the_head_group(clip):
        return replace(clip, body=1) if clip.action == 0 else clip

    rewrite(own_root, in_the_head_group)
    dataset = build(own_root)
    assert dataset.metainfo['body_of'][:2] == [1, 0]
    assert dataset.get_data_info(0)['body'] == 1


def test_body_groups_option(video_root):
    by_figure = [
        build(video_root, lazy_init=True, body_groups=g).metainfo['body_of']
        for g in ('taxonomy', 'statistics')
    ]
    assert sum(a != b for a, b in zip(*by_figure, strict=True)) == 1


@pytest.mark.parametrize('indices', [5, [0, 3, 7]])
def test_indices_shorten_metainfo_as_well(video_root, indices):
    dataset = build(video_root, indices=indices)
    names = [dataset.get_data_info(i)['clip'] for i in range(len(dataset))]
    assert dataset.metainfo['clips'] == names
    assert dataset.get_data_info(2)['index'] == 2


def test_clips_and_domains_restrict(video_root, tmp_path):
    file = tmp_path / 'support.txt'
    file.write_text('street_train_1\n\nlab_train_2 \n', encoding='utf-8-sig')
    for clips in (['street_train_1', 'lab_train_2'], file, str(file)):
        dataset = build(video_root, clips=clips)
        assert dataset.metainfo['clips'] == ['lab_train_2', 'street_train_1']
    only = build(video_root, domains='street', clips=['street_train_1'])
    assert only.metainfo['clips'] == ['street_train_1']
    with pytest.raises(FileNotFoundError, match=r'absent\.txt: no such file'):
        build(video_root, clips=str(tmp_path / 'absent.txt'))


def test_withheld_labels_are_kept_in_testing_only(own_root, monkeypatch):
    def withhold(clip):
        hide = clip.clip.endswith('_0') or clip.domain == 'emotion'
        return replace(clip, action=None, body=None) if hide else clip

    rewrite(own_root, withhold)
    said = []
    monkeypatch.setattr(
        'mmma.datasets.clips.print_log', lambda text, *_: said.append(text)
    )
    assert len(build(own_root)) == 6
    assert 'left out 6 train clips whose action is withheld' in said[0]
    tested = build(own_root, 'test', test_mode=True)
    assert tested.metainfo['labels'][:2] == [-1, 7]
    assert tested[0]['data_samples'].body == -1
    with pytest.raises(
        ValueError, match=r'no test clip of emotion with a known action \(of 3\)'
    ):
        build(own_root, 'test', domains=['emotion'])


def samples(dataset, workers, epoch=0, seed=0):
    sampler = EpochSampler(dataset, seed=seed)
    sampler.set_epoch(epoch)
    loader = DataLoader(
        dataset, 5, sampler=sampler, num_workers=workers, collate_fn=pseudo_collate
    )
    batches = list(loader)
    return (
        [s.clip for b in batches for s in b['data_samples']],
        torch.stack([x for b in batches for x in b['inputs']]),
    )


def test_workers_change_nothing(video_root):
    dataset = build(video_root)
    names, inputs = samples(dataset, 0)
    other_names, other_inputs = samples(dataset, 2)
    assert names == other_names
    assert torch.equal(inputs, other_inputs)


class Tensors(ClipDataset):
    """Gives tensors of four kinds; a small one of plain numbers needs no file."""

    kinds = (
        *(torch.arange(6.0).view(2, 3).T, torch.tensor([3])),
        *(torch.ones(2**16 + 1), torch.ones(2, dtype=torch.bfloat16)),
    )

    def _draw(self, info):
        return {'inputs': self.kinds[info['index']], 'data_samples': info['index']}


def test_small_tensors_of_workers_travel_by_value(video_root):
    dataset = build(video_root, pipeline=[])
    dataset.__class__ = Tensors
    loader = DataLoader(dataset, 4, num_workers=1, collate_fn=pseudo_collate)
    found = next(iter(loader))['inputs']
    assert [x.is_shared() for x in found] == [False, False, True, True]
    for own, other in zip(Tensors.kinds, found, strict=True):
        assert own.dtype == other.dtype
        assert torch.equal(own, other)


def test_a_sample_is_a_function_of_its_key(video_root):
    dataset = build(video_root)
    keys = [(0, 0, 3), (0, 1, 3), (1, 0, 3), (0, 0, 3, 1)]
    images = [dataset[SampleKey(*key)]['inputs'] for key in keys]
    assert torch.equal(dataset[SampleKey(0, 0, 3)]['inputs'], images[0])
    assert torch.equal(dataset[3]['inputs'], images[0])
    for other in images[1:]:
        assert not torch.equal(other, images[0])


def test_in_training_the_next_readable_clip_comes(own_root):
    spoil(own_root, 'lab_train_1', 'lab_train_2')
    (own_root / 'videos/psychiatric/psychiatric_train_0.mp4').unlink()
    dataset = build(own_root)
    data = dataset[SampleKey(0, 4, 1)]
    sample = data['data_samples']
    assert (sample.clip, sample.broken) == ('psychiatric_train_1', 'lab_train_1')
    assert (sample.index, sample.gt_label.item()) == (4, 20)
    assert torch.equal(data['inputs'], dataset[SampleKey(0, 4, 4)]['inputs'])
    assert 'broken' not in dataset[0]['data_samples']


def test_the_last_clip_is_replaced_by_the_first(own_root):
    spoil(own_root, 'emotion_train_2')
    assert build(own_root)[-1]['data_samples'].clip == 'lab_train_0'


def test_in_testing_it_is_an_error(own_root):
    spoil(own_root, 'lab_test_1')
    dataset = build(own_root, 'test', test_mode=True)
    with pytest.raises(
        ValueError,
        match=r"clip 'lab_test_1' cannot be read: \S+/videos/lab/lab_test_1\.mp4: "
        r'zero bytes.*--skip-broken',
    ) as error:
        dataset[1]
    try:
        raise error.value
    except ValueError:
        wrapped = ExceptionWrapper(where='in a worker')  # as DataLoader does
    with pytest.raises(ValueError, match=r'lab_test_1.*--skip-broken'):
        wrapped.reraise()


def test_a_skipped_clip_keeps_its_name(own_root):
    spoil(own_root, 'lab_test_1')
    dataset = build(own_root, 'test', test_mode=True, on_broken='skip')
    sample = dataset[1]['data_samples']
    assert (sample.index, sample.clip, sample.broken) == (1, 'lab_test_1', 'lab_test_1')
    assert sample.gt_label.item() == 7


def test_when_nothing_can_be_read(own_root):
    spoil(own_root, 'lab_train_0', 'lab_train_1')
    for options in ({'clips': ['lab_train_0', 'lab_train_1']}, {'max_refetch': 1}):
        with pytest.raises(
            ValueError, match=r"2 clips in a row cannot be read.*'lab_train_0'.*zero"
        ):
            build(own_root, **options)[0]


def test_a_missing_root(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'No data in .*simulate\.py'):
        build(tmp_path / 'absent')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'subset': 'training'}, "unknown subset 'training'.*'train'"),
        ({'domains': ['stret']}, "unknown domain 'stret'.*'street'"),
        ({'modality': 'rgb'}, "unknown modality 'rgb'"),
        ({'on_broken': 'skp'}, "unknown on_broken 'skp'.*'skip'"),
        ({'body_groups': 'figure'}, "unknown body_groups 'figure'"),
        ({'label_space': 'ma52'}, "has label space 'mma82', but .* asks for 'ma52'"),
        ({'label_space': 'ma52'}, 'or give --cfg-options label_space=mma82'),
        ({'clips': ['lab_trian_0']}, "no train clips.*Did you mean 'lab_train_0'"),
        (
            {'domains': ['lab'], 'clips': ['lab_train_0', 'street_train_0']},
            r"1 of 2 listed clips are no train clips of lab.*'street_train_0'",
        ),
    ],
)
def test_bad_options(video_root, options, message):
    with pytest.raises(ValueError, match=message):
        build(video_root, **options)


def test_an_empty_target(own_root):
    rewrite(own_root, lambda c: replace(c, domain='lab') if c.domain == 'street' else c)
    with pytest.raises(
        ValueError,
        match=r'no test clip of street. It holds: lab: train 6, val 6, test 6;',
    ):
        build(own_root, 'test', domains=['street'], test_mode=True)


@pytest.mark.parametrize('decoder', ['DecordDecode', 'PyAVDecode'])
def test_decoders_of_key_frames_only(video_root, decoder):
    step = {'type': decoder, 'mode': 'efficient'}
    with pytest.raises(ValueError, match=f'{decoder}.*key frames only.*DecodeFrames'):
        build(video_root, pipeline=[step])
    wrapped = {'type': 'RandomApply', 'transforms': [step], 'prob': 1}
    with pytest.raises(ValueError, match='key frames only'):
        build(video_root, pipeline=[wrapped])
    build(video_root, pipeline=[{**step, 'mode': 'accurate'}])


def without_videos(clip):
    return replace(clip, path='')


def test_a_root_without_videos(own_root):
    rewrite(own_root, without_videos)
    with pytest.raises(
        ValueError, match=r'12 of 12 selected clips have no video.*--modal'
    ):
        build(own_root)
    info = build(own_root, modality='Pose').get_data_info(0)
    assert (info['filename'], info['modality']) == ('', 'Pose')


def test_frames_and_joints_of_a_clip(own_root):
    base = find_config('recog/rgbposeconv3d_mma82_indomain').parents[1] / '_base_'
    data = Config.fromfile(base / 'datasets/mma82_rgbpose_8x64.py').train_dataloader
    options = dict(pipeline=data.dataset.pipeline, modality='RGB+Pose')
    with pytest.raises(FileNotFoundError, match='skeletons'):
        build(own_root, **options)[0]
    names = build(own_root).metainfo['clips']
    points = np.random.default_rng(0).uniform(5, 40, (1, 9, 65, 2))
    with SkeletonWriter(own_root, 'rec', WHOLEBODY65) as writer:
        for name in names[:-1]:
            writer.append(name, points, np.ones((1, 9, 65)), 30, 56, 40)
    dataset = build(own_root, **options)
    packed = dataset[SampleKey(0, 1, 0)]
    shapes = {key: tuple(x.shape) for key, x in packed['inputs'].items()}
    assert shapes == dict(imgs=(1, 3, 8, 64, 64), keypoint=(1, 1, 32, 31, 3))
    assert packed['data_samples'].img_shape == (64, 64)
    own = dict(pipeline=[dict(type='LoadSkeleton')], modality='Pose')
    told = []
    for known in (own, options):  # one error, whatever else is read
        with pytest.raises(ValueError, match=names[-1]) as error:
            build(own_root, **known)[len(names) - 1]
        told.append(str(error.value))
    assert told[0] == told[1]
    stamps = dataset.file_stamps()
    assert len(set(stamps.values())) == len(names)
    os.utime(own_root / 'skeletons/rec.npy', (0, 0))
    changed = dataset.file_stamps()
    assert all(changed[name] != stamps[name] for name in names)
    (own_root / 'videos/lab/lab_train_0.mp4').write_bytes(b'')
    assert build(own_root, **options)[0]['data_samples'].broken == 'lab_train_0'


def test_a_link_out_of_the_root(own_root, tmp_path):
    video = own_root / 'videos/lab/lab_train_0.mp4'
    outside = tmp_path / 'outside.mp4'
    os.replace(video, outside)
    video.symlink_to(outside)
    with pytest.raises(ValueError, match=r'leaves the data root .* through a link'):
        build(own_root)[0]


def test_errors_of_transforms_are_not_hidden(video_root):
    class Fails:
        def __call__(self, results):
            raise ZeroDivisionError

    dataset = ClipDataset(video_root, 'train', [Fails()])
    with pytest.raises(ZeroDivisionError):
        dataset[0]


def test_base_configs_give_what_their_names_say(video_root):
    for size, subset in itertools.product((112, 224), ('train', 'test')):
        cfg = Config.fromfile(BASES / f'mma82_rgb_16x{size}.py')
        dataset = cfg[f'{subset}_dataloader'].dataset
        dataset.update(data_root=str(video_root), _scope_='mmma')
        data = DATASETS.build(dataset)[0]
        assert data['inputs'].shape == (1, 3, 16, size, size)
        assert data['inputs'].dtype == torch.uint8


SPANS = [
    'a,videos/talk.mp4,train,1,,0,1',
    'b,videos/talk.mp4,train,2,,1,2',
    'c,,train,3,videos/talk.mp4,2.0,3.0',
    'd,videos/talk.mp4,train,4,,1.01,1.3',
    'e,videos/talk.mp4,train,5,,2.9,3.08',  # the end of a list may be rounded
    'whole,videos/talk.mp4,train,6,,,',
]
SEEN = [
    range(25),
    range(25, 50),
    range(50, 75),
    range(26, 33),
    range(73, 75),
    range(75),
]


@pytest.mark.parametrize('backend', ['auto', 'pyav'])
def test_a_span_shows_its_frames_and_no_others(tmp_path, backend):
    root = make_span_root(tmp_path, SPANS)
    opened = {'type': 'OpenVideo', 'backend': backend}
    for test_mode, clip_len in itertools.product((False, True), (25, 150)):
        uniform = dict(type='UniformFrames', clip_len=clip_len, test_mode=test_mode)
        steps = [opened, uniform, {'type': 'DecodeFrames'}]
        dataset = build(root, pipeline=steps)
        for i, seen in enumerate(SEEN):
            numbers = read_numbers(dataset[i]['imgs'])
            assert set(numbers) <= set(seen), (i, numbers)
            if clip_len >= 2 * len(seen) and test_mode:
                assert set(numbers) == set(seen), i
    stock = [opened, dict(type='mmaction.SampleFrames', clip_len=1, num_clips=5)]
    dataset = build(root, pipeline=[*stock, {'type': 'DecodeFrames'}])
    for i, seen in enumerate(SEEN):
        assert set(read_numbers(dataset[i]['imgs'])) <= set(seen), i


def test_a_span_is_one_of_times_not_of_numbers(tmp_path):
    times_ms = [10 * i if i < 50 else 500 + 100 * (i - 50) for i in range(75)]
    rows = ['a,videos/talk.mp4,train,1,,0.25,0.35', 'b,videos/talk.mp4,train,2,,0.6,3']
    root = make_span_root(tmp_path, rows, times_ms=times_ms)
    uniform = dict(type='UniformFrames', clip_len=48, test_mode=True)
    pipeline = [{'type': 'OpenVideo'}, uniform, {'type': 'DecodeFrames'}]
    dataset = build(root, pipeline=pipeline)
    assert set(read_numbers(dataset[0]['imgs'])) == set(range(25, 35))
    assert read_numbers(dataset[1]['imgs']) == np.arange(51, 75).repeat(2).tolist()


@pytest.mark.parametrize(
    ('row', 'seen'),
    [
        ('a,videos/talk.mp4,train,1,interview,12,15', range(75)),  # cut from it
        ('a,videos/talk.mp4,train,1,Talk.MOV,00:00:01,0:02', range(25, 50)),
        ('a,videos/talk.mp4,train,1,talk,1,1.04', range(25, 26)),
        ('a,videos/talk.mp4,train,1,interview,1,2', range(25, 50)),
    ],
)
def test_a_file_that_was_cut_is_whole(tmp_path, row, seen):
    uniform = dict(type='UniformFrames', clip_len=150, test_mode=True)
    pipeline = [{'type': 'OpenVideo'}, uniform, {'type': 'DecodeFrames'}]
    root = make_span_root(tmp_path / 'root', [row])
    assert set(read_numbers(build(root, pipeline=pipeline)[0]['imgs'])) == set(seen)
    pack_root(
        DataRoot(root), tmp_path / 'out', PackOptions(short_side=32, crf=1), workers=0
    )
    packed = build(tmp_path / 'out', pipeline=pipeline)[0]
    assert set(read_numbers(packed['imgs'])) == set(seen)


@pytest.mark.parametrize(
    ('times', 'message'),
    [
        (
            '2,3.2',
            'start_sec 2.0, end_sec 3.2 ends after the file, which has 75 frames',
        ),
        ('9,10', 'start_sec 9.0, end_sec 10.0 ends after the file'),
        ('1.001,1.002', 'start_sec 1.001, end_sec 1.002 has no frame of the file'),
    ],
)
def test_a_span_outside_of_its_file(tmp_path, times, message):
    rows = [f'a,videos/talk.mp4,train,1,,{times}', SPANS[1]]
    dataset = build(make_span_root(tmp_path, rows), on_broken='replace')
    with pytest.raises(
        ValueError, match=rf'rec.csv: a: .*talk.mp4: the span {message}'
    ):
        dataset[0]


def test_the_stand_in_of_a_span_is_a_span(tmp_path):
    rows = ['a,videos/gone.mp4,train,1,,0,2', SPANS[2]]
    uniform = dict(type='UniformFrames', clip_len=25, test_mode=True)
    pipeline = [{'type': 'OpenVideo'}, uniform, {'type': 'DecodeFrames'}]
    root = make_span_root(tmp_path, rows)
    for on_broken in ('replace', 'skip'):
        sample = build(root, pipeline=pipeline, on_broken=on_broken)[0]
        assert read_numbers(sample['imgs']) == list(range(50, 75)), on_broken
        assert sample['broken'] == 'a'


def test_clips_of_missing_sources_are_left_out(tmp_path, capsys):
    rows = ['x,videos/gone.mp4,train,1,gone,0,1', *SPANS]
    root = make_span_root(tmp_path / 'root', rows)
    (root / 'missing_sources.csv').write_text('source_video,domain\ngone,lab\n')
    uniform = dict(type='UniformFrames', clip_len=25, test_mode=True)
    pipeline = [{'type': 'OpenVideo'}, uniform, {'type': 'DecodeFrames'}]
    dataset = build(root, pipeline=pipeline)
    assert len(dataset) == len(SPANS)
    assert 'train: 6 of 7 clips of lab' in capsys.readouterr().err
    pack_root(DataRoot(root), tmp_path / 'out', PackOptions(short_side=32), workers=0)
    packed = DataRoot(tmp_path / 'out')
    assert packed.incomplete('rec') == ['train: 6 of 7 clips of lab']
    kept = (tmp_path / 'out/rec.csv').read_text().splitlines()[1]
    assert kept.startswith('x,videos/gone.mp4,train,1,gone,0,1,')
    dataset = build(tmp_path / 'out', pipeline=pipeline)
    assert set(read_numbers(dataset[0]['imgs'])) == set(range(25))
    alone = make_span_root(tmp_path / 'alone', rows[:1])
    shutil.copyfile(root / 'missing_sources.csv', alone / 'missing_sources.csv')
    with pytest.raises(ValueError, match=r'no train clip .*: ; train: 0 of 1 clips of'):
        build(alone)
