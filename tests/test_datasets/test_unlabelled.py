"""Clips without labels: which are seen, and that the others are not."""

import shutil
from collections import Counter

import pytest

from mmma.data.root import read_root
from mmma.datasets.clips import UnlabelledDataset

DOMAINS = ('lab', 'psychiatric', 'street', 'emotion')


def seen(root, **options):
    """Clips by domain and subset of a data set of lab, and the data set."""
    options = {'domains': ['lab'], **options}
    data = UnlabelledDataset(str(root), 'train', [], **options)
    data.full_init()
    subset = {clip.clip: clip.subset for clip in read_root(root).read_rec()}
    names, domains = data.metainfo['clips'], data.metainfo['domains']
    found = Counter(
        (domain, subset.get(name, '-'))
        for name, domain in zip(names, domains, strict=True)
    )
    return found, data


def test_train_and_val_of_the_domains_and_what_is_asked_for(video_root):
    found, data = seen(video_root)
    assert found == {('lab', 'train'): 3, ('lab', 'val'): 3}
    assert data.metainfo['unlabelled'] == 'train, val of lab'
    found, data = seen(video_root, subsets='train', other_domains=['train'])
    assert found == {(domain, 'train'): 3 for domain in DOMAINS}
    told = '; '.join(f'train of {domain}' for domain in DOMAINS)
    assert data.metainfo['unlabelled'] == told
    found, _ = seen(video_root, subsets=['train', 'test'])
    assert found == {('lab', 'train'): 3, ('lab', 'test'): 3}
    with pytest.raises(ValueError, match=r"subset 'tests'.*test"):
        seen(video_root, other_domains=['tests'])


def test_labels_are_never_read_and_may_be_withheld(video_root, tmp_path):
    root = shutil.copytree(video_root, tmp_path / 'root')
    lines = (root / 'rec.csv').read_text().splitlines()
    place = lines[0].split(',').index('action')
    rows = [line.split(',') for line in lines]
    for row in rows[1:]:
        row[place] = row[place + 1] = ''
    (root / 'rec.csv').write_text('\n'.join([','.join(row) for row in rows]) + '\n')
    for own in (video_root, root):
        found, data = seen(own)
        assert sum(found.values()) == 6
        assert set(data.metainfo['labels']) == {-1}
        assert (data[0]['label'], data[0]['body']) == (-1, -1)


def test_pieces_of_untrimmed_videos(det_root, tmp_path):
    videos = [v for v in read_root(det_root).read_det() if v.domain == 'lab']
    taken = [v for v in videos if v.subset in ('train', 'val') and v.path]
    root = shutil.copytree(det_root, tmp_path / 'root')
    rows = [f'd,{taken[1].path},train,lab,y,,', f'c,{taken[0].path},test,lab,x,,']
    header = 'clip,path,subset,domain,subject,action,body'
    (root / 'rec.csv').write_text('\n'.join([header, *rows, '']))
    _, data = seen(root, untrimmed_sec=1.5)
    kept = taken[1:]
    counts = [max(1, round(v.duration / 1.5)) for v in kept]
    pairs = zip(kept, counts, strict=True)
    names = [f'{v.video}#{i}' for v, count in pairs for i in range(count)]
    assert data.metainfo['clips'] == ['d', *names]
    ends = [data.get_data_info(i)['span'] for i in range(1, 1 + counts[0])]
    assert [ends[0][0], ends[-1][1]] == [0, kept[0].duration]
    assert [end for _, end in ends[:-1]] == [start for start, _ in ends[1:]]
    _, data = seen(root, subsets=['train', 'val', 'test'], untrimmed_sec=1.5)
    assert f'{taken[0].video}#0' in data.metainfo['clips']
    with pytest.raises(ValueError, match='untrimmed_sec 0: use seconds above 0'):
        seen(root, untrimmed_sec=0)
