"""What is built of a config that somebody else wrote, and what never is."""

import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch
from mmengine.registry import DefaultScope
from zoo_runs import NAME, make_results, make_run

import mmma
from mmma import config as configs
from mmma.apis import load_config
from mmma.cli import main
from mmma.cli.arguments import find_recipe
from mmma.config import (
    config_folders,
    json_config,
    plain_config,
    read_config,
    zoo_config,
)
from mmma.hub.publish import add_results, publish
from mmma.hub.published import read_published, read_run
from mmma.registry import MODELS, as_data, part_names

LEAF = 'configs/recog/skeletontcn-tiny_mma82_zeroshot.py'
SHELL = {'type': 'os.system', 'command': 'echo RAN > ran.txt'}
NAMED = [
    SHELL,
    {'type': 'subprocess.run', 'args': ['touch', 'ran.txt']},
    {'type': 'builtins.exec', 'source': 'open("ran.txt", "w")'},
    {'type': 'mmma.os.system', 'command': 'touch ran.txt'},
    {'type': 'mmengine.runner.checkpoint.load_checkpoint', 'filename': 'x'},
    {'type': 'torchvision.resnet50', 'pretrained': True},
    {'type': 'timm.hf-hub:someone/model'},
    {'type': 'torch.hub.load', 'repo_or_dir': 'someone/model'},
    {'type': 'this'},
    {'type': 'MMAction2Inferencer', 'rec': 'tsn'},
    {'type': ['os.system'], 'command': 'touch ran.txt'},
    {'type': None},
]


def plain(leaf=LEAF):
    """A resolved config as results files and published folders have it."""
    return json.loads(json.dumps(load_config(leaf).to_dict()))


def leaves():
    for folder in ('recog', 'det'):
        yield from sorted((config_folders()[0] / folder).glob('*.py'))


def test_every_recipe_passes_and_builds_the_same(tmp_path):
    wrong, seen, path = [], set(), tmp_path / 'config.json'
    for leaf in leaves():
        cfg = load_config(str(leaf)).to_dict()
        path.write_text(json.dumps(json_config(cfg)))
        kept = load_config(str(path)).to_dict()
        for key in ('load_from', 'pretrained'):
            cfg.pop(key), kept.pop(key, None)
        if kept != cfg:
            wrong.append(leaf.name)
        kind = str(cfg['model'])
        if 'tiny' not in leaf.name or kind in seen:
            continue
        seen.add(kind)
        with DefaultScope.overwrite_default_scope('mmma'), torch.device('meta'):
            shapes = [
                {k: v.shape for k, v in MODELS.build(model).state_dict().items()}
                for model in (kept['model'], load_config(str(leaf)).model)
            ]
        if shapes[0] != shapes[1]:
            wrong.append(f'{leaf.name}: another model')
    assert not wrong


@pytest.mark.parametrize('named', NAMED, ids=lambda n: str(n['type']))
def test_only_registered_names_at_any_depth(named):
    for place in (
        lambda c: c.update(model=named),
        lambda c: c['model'].update(backbone=named),
        lambda c: c['model']['backbone'].update(norm_cfg=[{'a': (1, named)}]),
        lambda c: c['test_dataloader']['dataset']['pipeline'].append(named),
        lambda c: c.update(custom_hooks=[named]),
        lambda c: c['optim_wrapper'].update(constructor=named['type']),
        lambda c: c.update(x={'y': {'z': [[[named]]]}}),
        lambda c: c['model'].update(init_cfg=[named]),  # also where it is left out
    ):
        cfg = plain()
        place(cfg)
        with pytest.raises(ValueError, match=r'^a\.pth: its config names .*, which is'):
            as_data(cfg, 'a.pth')


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        ({'_scope_': 'evil'}, "names the package 'evil'"),
        ({'default_scope': 'evil'}, "names the package 'evil'"),
        ({'a': 'https://x/y.json'}, 'names a URL'),
        ({'a': ['file:///etc/passwd']}, r'names a URL.*\(a\.0\)'),
        ({'a': b'bytes'}, 'a bytes, which is no plain value'),
        ({'a': torch.zeros(1)}, 'a Tensor, which is no plain value'),
        ([], 'its config is a list'),
    ],
)
def test_what_else_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        as_data(value, 'a.pth')


def test_what_grows_without_end_is_refused():
    shared, circle = {'a': 1}, {}
    for _ in range(30):
        shared = {'a': shared, 'b': shared}
    circle['a'] = circle
    for value in (shared, circle, {'a': [0] * 10**6}):
        with pytest.raises(ValueError, match='larger or deeper than any'):
            as_data(value, 'a.pth')


def test_keys_that_load_or_write_are_left_out():
    odd = {
        'init_cfg': {'type': 'Pretrained', 'checkpoint': 'http://x'},
        'pretrained': 'torchvision://resnet50',
        'rgb_pretrained': 'http://x',
        'pretrained_model_name_or_path': 'someone/model',
        'load_from': 'http://x',
        'trust_remote_code': True,
        'custom_imports': {'imports': ['evil']},
        '_base_': 'evil.py',
        'work_dir': '/x',
        'out_dir': '/x',
        'save_dir': '/x',
        'out_file_path': '/x.pkl',
        'filename_tmpl': '../../{}.pth',
        'vis_backends': [{'type': 'WandbVisBackend', 'init_kwargs': {'project': 'x'}}],
        'lfb_cfg': {'lfb_prefix_path': '/x'},
    }
    left = []
    assert as_data({'model': {**odd, 'a': 1}}, 'a', left) == {'model': {'a': 1}}
    assert left == [f'model.{key}' for key in odd]


def test_names_come_from_the_four_packages():
    known = {'SkeletonTCN', 'Recognizer3D', 'EMAHook', 'BN', 'AdamW', 'SGD'}
    assert known <= part_names()
    assert not {'Runner', 'MMAction2Inferencer', 'VindLUTokenizer'} & part_names()
    assert not [name for name in part_names() if '.' in name]


@pytest.mark.parametrize('text', [False, True])
@pytest.mark.parametrize('named', NAMED[:5], ids=lambda n: str(n['type']))
def test_a_checkpoint_runs_nothing_when_published(
    named, text, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    cfg = {**plain(), 'model': named}
    make_run(tmp_path / 'run', cfg=f'model = {named!r}' if text else cfg)
    assert main('publish_model', ['run', '--out', 'zoo']) == 2
    error = capsys.readouterr().err
    assert f'.pth: its config names {named["type"]}, which is no model' in error
    assert error.startswith('error: run/best_')
    assert error.count('\n') == 1
    assert not (tmp_path / 'ran.txt').exists()
    assert not (tmp_path / 'zoo').exists()


def test_a_file_of_a_registered_name_is_not_imported(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / 'Resize.py').write_text("open('ran.txt', 'w')")
    cfg = {**plain(), 'model': {'type': 'Resize'}}
    make_run(tmp_path / 'run', cfg=cfg, config_name='mine.py')
    assert main('publish_model', ['run', '--out', 'zoo']) == 2
    assert 'its config builds no model' in capsys.readouterr().err
    assert not (tmp_path / 'ran.txt').exists()


@pytest.mark.parametrize(
    'change',
    [
        {'model': 3},
        {'model': {'type': 'RecognizerGCN', 'backbone': 'x'}},
        {'model': {'type': 'RecognizerGCN', 'no_such_argument': 1}},
        {'protocol': 'zeroshot'},
        {'protocol': None},
        {'test_dataloader': []},
        {'test_dataloader': {'dataset': 'x'}},
        {'label_space': 'mma83'},
    ],
)
def test_a_config_of_other_shape_is_one_line(change, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / 'run', config_name='mine.py', cfg={**plain(), **change})
    assert main('publish_model', ['run', '--out', 'zoo']) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ')
    assert error.count('\n') == 1


@pytest.fixture
def model(tmp_path):
    make_run(tmp_path / 'run')
    return publish(read_run(tmp_path / 'run'), tmp_path / 'zoo')


def test_a_results_file_names_only_what_is_registered(model, tmp_path):
    path = make_results(tmp_path / 'r.json', model.weights, model.sha256)
    content = json.loads(path.read_text())
    content['config']['model']['backbone'] = SHELL
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'r\.json: its config names os\.system'):
        add_results(model, [path])


def test_a_published_config_is_data(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    content = json.loads(model.config.read_text())
    content['model']['backbone'] = SHELL
    model.config.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'config\.json: its config names os\.system'):
        _ = read_published(model.path, model.path.parent).cfg
    for command in ('print_config', 'test'):
        more = [str(model.weights)] if command == 'test' else []
        assert main(command, [str(model.config), *more]) == 2
        assert 'its config names os.system' in capsys.readouterr().err
    assert not (tmp_path / 'ran.txt').exists()


def test_an_older_published_config_is_read_and_not_run(model, tmp_path, capsys):
    cfg = load_config(LEAF)
    model.config.unlink()
    old = model.path / 'config.py'
    old.write_text(cfg.pretty_text)
    assert model.config == old
    again = read_published(model.path, model.path.parent)
    assert again.cfg == cfg.to_dict()
    assert read_config(old).model == cfg.model
    old.write_text(f"open({str(tmp_path / 'ran.txt')!r}, 'w')\n{cfg.pretty_text}")
    assert main('print_config', [str(old)]) == 2
    assert 'is not one of plain values' in capsys.readouterr().err
    assert not (tmp_path / 'ran.txt').exists()


def test_a_json_config_brings_no_python(model, tmp_path, monkeypatch):
    monkeypatch.setenv('SECRET', 'word')
    (tmp_path / 'evil.py').write_text(f"open({str(tmp_path / 'ran.txt')!r}, 'w')")
    content = json.loads(model.config.read_text())
    base = str(tmp_path / 'evil.py')
    odd = {'_base_': [base], 'custom_imports': {'imports': ['evil']}}
    model.config.write_text(json.dumps({**content, **odd, 'a': '{{$ENV:SECRET:x}}'}))
    monkeypatch.syspath_prepend(str(tmp_path))
    cfg = load_config(str(model.config))
    assert cfg.a == '{{$ENV:SECRET:x}}'
    assert not {*odd} & {*cfg}
    assert not (tmp_path / 'ran.txt').exists()


def test_tuples_come_back_from_json(tmp_path):
    cfg = {**plain(), 'a': ((1, [2, (3,)]), {'b': [(), (4, 5)]}), 'c': [1]}
    path = tmp_path / 'config.json'
    path.write_text(json.dumps(json_config(cfg)))
    assert plain_config(path) == cfg
    for odd in (3, ['x'], ['c.9'], ['task'], [None], [['c']], ['model.'], 'abc'):
        path.write_text(json.dumps({**cfg, 'task': 3, 'tuples': odd}))
        with pytest.raises(ValueError, match=r'config\.json: tuples names keys that'):
            plain_config(path)


def test_nothing_is_fetched_for_a_config_of_others(tmp_path, capsys):
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

    server = HTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f'http://127.0.0.1:{server.server_port}/x-12345678.pth'
    cfg = plain()
    cfg['pretrained'] = {'url': url, 'sha8': '12345678', 'data': 'x'}
    cfg['load_from'] = url
    cfg['model']['init_cfg'] = {'type': 'Pretrained', 'checkpoint': url}
    cfg['model']['backbone']['init_cfg'] = [{'type': 'Pretrained', 'checkpoint': url}]
    path = tmp_path / 'config.json'
    path.write_text(json.dumps(cfg))
    found = load_config(str(path))
    with DefaultScope.overwrite_default_scope('mmma'):
        MODELS.build(found.model).init_weights()
    make_run(tmp_path / 'run', cfg=cfg, config_name='mine.py')
    publish(read_run(tmp_path / 'run'), tmp_path / 'zoo')
    server.shutdown()
    assert not asked
    assert not found.get('pretrained')
    assert 'loads and writes nothing: ' in capsys.readouterr().err


def test_the_current_folder_counts_for_typed_names_alone(tmp_path, monkeypatch):
    evil = tmp_path / LEAF
    evil.parent.mkdir(parents=True)
    evil.write_text("open('ran.txt', 'w')")
    (tmp_path / 'recog').mkdir()
    shutil.copy(evil, tmp_path / 'recog/skeletontcn-tiny_mma82_indomain.py')
    monkeypatch.chdir(tmp_path)
    assert configs.find_config(LEAF) == type(evil)(LEAF)  # typed
    own = config_folders()[0]
    assert zoo_config(LEAF) == own.parent / LEAF
    assert find_recipe('skeletontcn-tiny').startswith(str(own))
    with pytest.raises((ValueError, FileNotFoundError)):  # it is no video
        mmma.apis.recognize(
            'recog/skeletontcn-tiny_mma82_indomain.py', NAME, allow_simulated=True
        )
    assert not (tmp_path / 'ran.txt').exists()


@pytest.mark.parametrize(
    'name', ['../x/config.py', '/etc/x.py', 'zoo/none/config.json', 'tests/zoo_runs.py']
)
def test_a_zoo_config_lies_beside_the_zoo(name):
    with pytest.raises(FileNotFoundError, match=r'the zoo names the config .* not bes'):
        zoo_config(name)


def test_modules_of_the_current_folder_stand_for_none(tmp_path):
    for name in ('yaml', 'argparse', 'numpy', 'rich', 'clip', 'json'):
        (tmp_path / f'{name}.py').write_text("open('ran.txt', 'w')")
    env = {**os.environ, 'PYTHONPATH': str(config_folders()[0].parent)}
    words = [sys.executable, '-m', 'mmma', 'download', '--list']
    subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, check=True)
    assert not (tmp_path / 'ran.txt').exists()


def test_remote_code_of_transformers_is_never_allowed():
    package = config_folders()[0].parent / 'mmma'
    text = '\n'.join(path.read_text('utf-8') for path in package.rglob('*.py'))
    assert 'trust_remote_code=True' not in text
