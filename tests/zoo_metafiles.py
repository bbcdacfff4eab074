"""A small model zoo on disk: metafiles, one file of ours, two of upstream's."""

import hashlib

import yaml

OURS = b'our weights'
SHA = hashlib.sha256(OURS).hexdigest()
NAME = 'tiny_mma82_zeroshot-simulated'
FILE = f'{NAME}-{SHA[:8]}.safetensors'
URL = 'https://a.org/net_2022-0123abcd.pth'
HUB = 'https://huggingface.co/a/b/resolve/main/model.safetensors'


def ours(**changes):
    """A metafile entry of our own weights."""
    return {
        'Name': NAME,
        'Config': 'configs/recog/tiny_mma82_zeroshot.py',
        'Modality': 'Pose',
        'Metadata': {'Training Data': 'MMA-82, simulated', 'Simulated': True},
        'Weights': f'zoo/{NAME}/{FILE}',
        'Weights SHA256': SHA,
        'Weights Size': len(OURS),
        **changes,
    }


def recipe(name, url=None, **metadata):
    """A metafile entry of a recipe that starts from weights."""
    starts = {'Pretrained Weights': url, 'Pretrained': 'k400'} if url else {}
    return {
        'Name': name,
        'Config': f'configs/recog/{name}_indomain.py',
        'Modality': 'RGB',
        'Metadata': {**starts, **metadata},
    }


def write_metafiles(root, *entries, license=None):
    """Write one metafile below a root; gives the root."""
    folder = root / 'configs/metafiles'
    folder.mkdir(parents=True, exist_ok=True)
    collection = {'Name': 'Tiny', **({'License': license} if license else {})}
    data = {'Collections': [collection], 'Models': list(entries)}
    (folder / 'tiny.yml').write_text(yaml.safe_dump(data), 'utf-8')
    return root


def write_weights(root, content=OURS):
    """Put our file where the checkout has it."""
    path = root / 'zoo' / NAME / FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path
