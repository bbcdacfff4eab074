"""Clips without labels: which are seen, and that the others are not."""

import shutil
from collections import Counter

import pytest

from mmma.data.root import read_root
from mmma.datasets.unlabelled import UnlabelledDataset

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
    assert data.metainfo['unlabelled'] == {'lab': {'train': 3, 'val': 3}}
    found, data = seen(video_root, subsets='train', other_domains=['train'])
    assert found == {(domain, 'train'): 3 for domain in DOMAINS}
    assert [*data.metainfo['unlabelled']] == [*DOMAINS]
    found, _ = seen(video_root, subsets=['train', 'test'])
    assert found == {('lab', 'train'): 3, ('lab', 'test'): 3}
    with pytest.raises(ValueError, match=r"subset in other_domains 'tests'.*test"):
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


def seen_in(root, **options):
    data = UnlabelledDataset(str(root), 'train', [], domains=['lab'], **options)
    data.full_init()
    return data


def test_pieces_of_untrimmed_videos(det_root, tmp_path):
    videos = [v for v in read_root(det_root).read_det() if v.domain == 'lab']
    taken = [v for v in videos if v.subset in ('train', 'val') and v.path]
    data = seen_in(det_root, untrimmed_sec=1.5)
    assert len(data) == sum(max(1, round(v.duration / 1.5)) for v in taken)
    spans = [data[i]['span'] for i in range(len(data))]
    assert all(1 <= end - start <= 2 for start, end in spans)
    assert spans[0][0] == 0
    root = shutil.copytree(det_root, tmp_path / 'root')
    shown = taken[0]
    header = 'clip,path,subset,domain,subject,action,body\n'
    row = f'c,{shown.path},test,lab,x,,\n'
    (root / 'rec.csv').write_text(f'{header}d,{taken[1].path},train,lab,y,,\n{row}')
    data = seen_in(root, untrimmed_sec=1.5)
    names = data.metainfo['clips']
    assert names[0] == 'd'
    assert not [name for name in names if name.startswith(f'{shown.video}#')]
    with pytest.raises(ValueError, match='untrimmed_sec is 0: use seconds above 0'):
        seen_in(root, untrimmed_sec=0)
    with pytest.raises(ValueError, match=r'no untrimmed video to take\. Take other'):
        seen_in(det_root, subsets=[], untrimmed_sec=1)
