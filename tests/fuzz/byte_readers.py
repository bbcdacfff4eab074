"""Readers of arrays, weights, pickles and videos that others wrote."""

import hashlib
import io
import json
import pickle
import tarfile
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from fuzzing import Reader
from mutations import (
    AVI,
    MKV,
    MP4,
    Mutator,
    in_archive,
    mutate_bytes,
    mutate_npy,
    mutate_packets,
    mutate_pickle,
    mutate_safetensors,
    mutate_table,
    then_bytes,
)
from video_files import make_video, moving_frames

from mmma import packets
from mmma.checkpoints.download import RemoteFile, fetch_file
from mmma.checkpoints.files import load_weights_file, write_safetensors
from mmma.checkpoints.loading import load_state, load_trained, meta_of, weights_of
from mmma.convert.pyskl import convert_pyskl, read_pyskl
from mmma.convert.target import Options
from mmma.data import leakage
from mmma.data.arrays import FeaturesInfo, FeatureStore, FeatureWriter, SkeletonStore
from mmma.data.arrays import SkeletonWriter as Writer
from mmma.data.joints import JointLayout
from mmma.evaluation.scores import read_scores
from mmma.files import read_own
from mmma.foreign import has_controls
from mmma.hub.published import read_run
from mmma.media.encode import PackOptions, pack_video
from mmma.media.pose import Partial, read_partial, write_partial
from mmma.reporting.submission import check_archive, clip_layout, write_archive
from mmma.taxonomy import load_label_space
from mmma.video import decode_video, open_video, probe_video

SPACE = load_label_space('mma82')
FRAMES = moving_frames(8, 32, 32)


def check_names(names):
    assert len(set(names)) == len(list(names))
    assert not any(has_controls(name) for name in names)


def score_file(folder: Path) -> Path:
    path = folder / 'scores.npz'
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(82), 5).astype('<f4')
    bodies = rng.dirichlet(np.ones(7), 5).astype('<f4')
    names = np.array(list('abcde'))
    heads = {'classes': np.array(SPACE.actions), 'body_scores': bodies}
    np.savez(path, clips=names, scores=scores, **heads)
    return path


def check_scores(table):
    check_names(table.names)
    assert table.scores.shape == (len(table.names), 82)
    assert np.isfinite(table.scores).all()


JOINTS = JointLayout(('nose', 'left_eye', 'right_eye'), (('left_eye', 'right_eye'),))


def skeleton_array(folder: Path) -> Path:
    points = np.arange(24.0).reshape(1, 4, 3, 2)
    with Writer(folder, 'rec', JOINTS, 2) as writer:
        for name in ('a', 'b'):
            writer.append(name, points, np.full((1, 4, 3), 0.5), 30, 64, 48)
    return folder / 'skeletons' / 'rec.npy'


def read_skeletons(path: Path):
    store = SkeletonStore(path.parents[1], 'rec')
    return [(store.frames(n), store.size(n), *store.get(n)) for n in store.names], store


def check_skeletons(found):
    check_names(found[1].names)
    for name, (frames, size, keypoints, scores) in zip(
        found[1].names, found[0], strict=True
    ):
        assert scores.shape[1:] == (frames, 3)
        assert keypoints.shape == (*scores.shape, 2)
        assert ((scores >= 0) & (scores <= 1)).all()
        assert np.isfinite(keypoints).all()
        assert np.isfinite(found[1].fps(name))
        assert found[1].fps(name) > 0
        assert min(size) > 0


def feature_array(folder: Path) -> Path:
    with FeatureWriter(folder, 'x', FeaturesInfo(0.5, 4, dtype='float32')) as writer:
        for name in ('a', 'b'):
            writer.append(name, np.ones((3, 4)))
    return folder / 'features' / 'x' / 'det.npy'


def read_features(path: Path):
    store = FeatureStore(path.parents[2], 'x')
    return {name: store.get(name) for name in store.names}


def check_features(found):
    check_names(found)
    for value in found.values():
        assert value.ndim == 2
        assert value.shape[1] == 4
        assert np.isfinite(value).all()


def made_again(read, path: Path):
    """What is read of a cache, whose damaged files are told and deleted."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter('always')
        found = read(path)
    if not path.exists():
        raise ValueError(str(told[-1].message))
    return found


def marks_cache(folder: Path) -> Path:
    marks = np.full((6, 16, 16), 3, np.float16)
    leakage._store(folder, {'a': marks, 'b': marks})
    return next(folder.iterdir())


def check_marks(found):
    assert isinstance(found, list)
    for key, marks in found:
        assert isinstance(key, str)
        assert marks.shape[1:] == (16, 16)
        assert marks.dtype.kind == 'f'
        assert ((marks >= 0) & (marks <= 255)).all()


STAMPS = {'a': 1, 'b': 2}


def feature_cache(folder: Path) -> Path:
    from mmma.engine.features import write_cache

    row = np.ones(4, np.float32), np.full(82, 1 / 82, np.float32)
    write_cache(folder, STAMPS, dict.fromkeys(STAMPS, row))
    return next(folder.iterdir())


def read_feature_cache(path: Path):
    from mmma.engine.features import read_cache

    return read_cache(path.parent, STAMPS)


def check_feature_cache(found):
    assert found.keys() <= STAMPS.keys()
    assert all(np.isfinite(value).all() for row in found.values() for value in row)


def pose_partial(folder: Path) -> Path:
    path = folder / 'a.npz'
    (folder / 'a.mp4').write_bytes(b'x')
    joints = np.zeros((4, 1, 65, 3), np.int16)
    write_partial(path, Partial(joints, 30.0, 64, 48), folder / 'a.mp4')
    return path


def check_partial(found):
    assert found.joints.ndim == 4
    assert found.joints.shape[2:] == (65, 3)
    assert np.isfinite(found.fps)
    assert found.fps > 0
    assert found.width > 0
    assert found.height > 0


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = torch.nn.Linear(3, 2)
        self.cls_head = torch.nn.Module()
        self.cls_head.fc_cls = torch.nn.Linear(2, 3)


CLASSES, BODIES = ('x', 'y', 'z'), ('head', 'hand')
META = {
    'label_space': 'mma82',
    'classes': list(CLASSES),
    'bodies': list(BODIES),
    'body_of': [0, 0, 1],
    'seen_domains': ['lab'],
    'data': {'name': 'n', 'fingerprint': 'ab', 'simulated': False},
    'protocol': {'name': 'indomain', 'train_domains': ['lab'], 'domain': 'lab'},
    'selected_on': {'subset': 'val', 'metric': 'action/top1', 'domains': ['lab']},
}


def checkpoint(folder: Path, name: str = 'a.pth', zipped: bool = True) -> Path:
    content = {'state_dict': Model().state_dict(), 'meta': META, 'odd': torch.ones(2)}
    torch.save(content, folder / name, _use_new_zipfile_serialization=zipped)
    return folder / name


def safe_checkpoint(folder: Path) -> Path:
    write_safetensors(folder / 'a.safetensors', Model().state_dict(), META)
    return folder / 'a.safetensors'


def program(folder: Path) -> Path:
    torch.jit.trace(Model().backbone, torch.ones(1, 3)).save(str(folder / 'a.pt'))
    return folder / 'a.pt'


def archive(folder: Path) -> Path:
    with tarfile.open(folder / 'a.tar', 'w') as made:
        for name in ('storages', 'tensors', 'pickle'):
            made.addfile(tarfile.TarInfo(name), io.BytesIO(pickle.dumps({})))
    return folder / 'a.tar'


def read_weights(path: Path):
    content = load_weights_file(path)
    load_state(Model(), weights_of(content, str(path)), str(path), 0.3)
    return content


def read_trained(path: Path):
    content = load_weights_file(path)
    load_trained(Model(), content, 'mma82', CLASSES, str(path), BODIES)
    return content


def check_checkpoint(found):
    weights, meta = weights_of(found), meta_of(found)
    check_names(weights)
    assert all(isinstance(value, torch.Tensor) for value in weights.values())
    check_names(meta.get('classes') or ())
    for key in ('label_space', 'config_name'):
        assert isinstance(meta.get(key, ''), (str, type(None)))


def work_dir(folder: Path) -> Path:
    from mmma.registry import part_names

    part_names()  # imports what no case shall be charged for
    cfg = {
        'model': {'type': 'Recognizer2D', 'backbone': {'depth': 50}},
        'protocol': META['protocol'],
        'label_space': 'mma82',
        'task': 'rec',
        'test_dataloader': {'dataset': {'type': 'ClipDataset'}},
    }
    text = '\n'.join(f'{key} = {value!r}' for key, value in cfg.items())
    content = {'state_dict': Model().state_dict(), 'meta': {**META, 'cfg': text}}
    torch.save(content, folder / 'best_a.pth')
    return folder / 'best_a.pth'


def check_run(run):
    check_names(run.weights)
    assert run.cfg['task'] in ('rec', 'det')
    json.dumps(run.cfg)


def skeleton_pickle(folder: Path, protocol: int = 4) -> Path:
    rows = [
        {
            'frame_dir': name,
            'label': label,
            'img_shape': (48, 64),
            'total_frames': 2,
            'keypoint': np.full((1, 2, 17, 2), 8, np.float16),
            'keypoint_score': np.full((1, 2, 17), 0.5, np.float16),
        }
        for label, name in enumerate('ab')
    ]
    content = {'split': {'train': ['a'], 'test': ['b']}, 'annotations': rows}
    (folder / 'a.pkl').write_bytes(pickle.dumps(content, protocol=protocol))
    return folder / 'a.pkl'


def check_rows(found):
    _, rows, _ = found
    check_names([row['frame_dir'] for row in rows])
    for row in rows:
        keypoints, scores = row['keypoint'], row['keypoint_score']
        assert keypoints.shape == (*scores.shape, 2)
        assert np.isfinite(keypoints).all()
        assert ((scores >= 0) & (scores <= 1)).all()
        assert row['label'] >= -1
        assert min(row['img_shape']) > 0


def convert_skeletons(path: Path):
    out = path.parent / 'out'
    convert_pyskl(path, out, Options())
    store = SkeletonStore(out, 'rec')
    return [store.get(name) for name in store.names], store


def check_converted(found):
    check_names(found[1].names)
    for keypoints, scores in found[0]:
        assert np.isfinite(keypoints).all()
        assert ((scores >= 0) & (scores <= 1)).all()


def video(name: str, codec: str, folder: Path, **options) -> Path:
    return make_video(folder / name, FRAMES, 25, codec=codec, **options)


def named(read, path: Path):
    """What is read of a video that whoever calls it names."""
    packets._index.cache_clear()
    try:
        return read(path)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None


def read_video(path: Path, backend: str = 'auto'):
    named(probe_video, path)
    with open_video(path, backend) as reader:
        last = reader.num_frames - 1
        frames = reader.get_frames(sorted({0, last // 2, last}))
        return reader.times_sec, reader.duration_sec, reader.fps, frames


def check_video(found):
    times, duration, fps, frames = found
    assert frames.ndim == 4
    assert frames.shape[3] == 3
    assert frames.dtype == np.uint8
    assert np.isfinite(times).all()
    assert times[0] == 0
    assert (np.diff(times) > 0).all()
    assert np.isfinite([duration, fps]).all()
    assert duration >= times[-1]
    assert fps > 0


def marks_of(path: Path):
    return [('a', leakage.read_marks(path))]


def packed(path: Path):
    target = path.with_name('out.mp4')
    try:
        return pack_video(path, target, PackOptions(short_side=16)), target
    except ValueError:
        assert not target.exists()
        raise


def check_facts(facts):
    assert facts.frames > 0
    assert np.isfinite([facts.fps, facts.duration]).all()
    assert min(facts.fps, facts.duration) > 0


def check_packed(found):
    made, target = found
    assert made['bytes'] == target.stat().st_size
    assert min(made['size']) >= 2


CLIPS = ('a.mp4', 'b.mp4')
LAYOUT = clip_layout('mac2024', load_label_space('ma52'))


def submission(folder: Path) -> Path:
    rows = [[name, i, i] for i, name in enumerate(CLIPS)]
    write_archive(folder / 'a.zip', LAYOUT.header, rows)
    return folder / 'a.zip'


def download(folder: Path) -> Path:
    (folder / 'b.pth').write_bytes(b'weights' * 20)
    return folder / 'b.pth'


def fetch(path: Path):
    sha = hashlib.sha256(b'weights' * 20).hexdigest()
    return fetch_file(RemoteFile('b.pth', path.as_uri(), sha), path.parent / 'cache')


NPY = then_bytes(mutate_npy)
NPZ = in_archive(mutate_npy)
PICKLE = then_bytes(mutate_pickle)
WEIGHTS = in_archive(mutate_pickle, 'data.pkl')


def video_reader(name, codec, mutate: Mutator, read=read_video, check=check_video, **o):
    make = partial(lambda folder: video(name, codec, folder, **o))
    return Reader(name, make, read, mutate, check, share=0.5)


FRAGMENTS = {'movflags': 'frag_keyframe+empty_moov'}
READERS: list[Reader] = [
    Reader(
        'scores.npz', score_file, lambda p: read_scores(p, SPACE), NPZ, check_scores
    ),
    Reader('skeletons.npy', skeleton_array, read_skeletons, NPY, check_skeletons),
    Reader('features.npy', feature_array, read_features, NPY, check_features),
    Reader(
        'marks.npz',
        marks_cache,
        partial(made_again, lambda p: read_own(p, leakage._marks_of)),
        NPZ,
        check_marks,
    ),
    Reader(
        'features.npz',
        feature_cache,
        partial(made_again, read_feature_cache),
        NPZ,
        check_feature_cache,
    ),
    Reader(
        'pose.npz', pose_partial, partial(made_again, read_partial), NPZ, check_partial
    ),
    Reader('weights.pth', checkpoint, read_weights, WEIGHTS, check_checkpoint),
    Reader('trained.pth', checkpoint, read_trained, WEIGHTS, check_checkpoint),
    Reader(
        'legacy.pth',
        partial(checkpoint, zipped=False),
        read_weights,
        PICKLE,
        check_checkpoint,
    ),
    Reader(
        'a.safetensors',
        safe_checkpoint,
        read_trained,
        then_bytes(mutate_safetensors),
        check_checkpoint,
    ),
    Reader('program.pt', program, load_weights_file, WEIGHTS),
    Reader('archive.tar', archive, load_weights_file, mutate_bytes),
    Reader('run.pth', work_dir, lambda p: read_run(p.parent), WEIGHTS, check_run),
    Reader('skeletons.pkl', skeleton_pickle, read_pyskl, PICKLE, check_rows),
    Reader(
        'skeletons2.pkl',
        partial(skeleton_pickle, protocol=2),
        convert_skeletons,
        PICKLE,
        check_converted,
    ),
    Reader(
        'submission.zip',
        submission,
        lambda p: check_archive(p, LAYOUT, CLIPS),
        in_archive(mutate_table),
    ),
    Reader('download', download, fetch, mutate_bytes),
    video_reader('a.mp4', 'libx264', MP4),
    video_reader('b.mkv', 'libx264', MKV),
    video_reader('c.avi', 'mpeg4', AVI),
    video_reader('d.webm', 'libvpx', MKV),
    video_reader('e.ts', 'mpeg2video', mutate_packets),
    video_reader('f.mp4', 'mpeg4', MP4, muxer=FRAGMENTS),
    video_reader('g.mov', 'mjpeg', MP4, pix_fmt='yuvj420p'),
    video_reader('h.flv', 'flv', mutate_bytes),
    video_reader('i.wmv', 'wmv2', mutate_bytes),
    video_reader('j.mpg', 'mpeg2video', mutate_bytes),
    video_reader('k.h264', 'libx264', mutate_bytes),
    video_reader('l.gif', 'gif', mutate_bytes, pix_fmt='rgb8'),
    video_reader('m.mp4', 'libx264', MP4, partial(read_video, backend='decord')),
    video_reader('n.mkv', 'libx264', MKV, partial(read_video, backend='decord')),
    video_reader('o.mp4', 'mpeg4', MP4, partial(named, decode_video), check_facts),
    video_reader('p.mp4', 'mpeg4', MP4, partial(named, marks_of), check_marks),
    video_reader('q.mp4', 'mpeg4', MP4, partial(named, packed), check_packed),
]
