"""The head equals MMAction2's, and its levels agree."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmaction.structures import ActionDataSample

from mmma.checkpoints import load_trained
from mmma.evaluation.recognition import fuse_body_scores
from mmma.models.heads.action_head import (
    ActionHead,
    MANetHead,
    count_labels,
    fuse_bodies,
    label_vectors,
)
from mmma.registry import MODELS
from mmma.taxonomy import load_label_space

N, K, D, S = 3, 6, 4, 8
SPACE = load_label_space('ma52')
UPSTREAM = {
    'clip': ('I3DHead', (N, D, 2, 3, 3), {}),
    'graph': ('GCNHead', (N, 2, D, 5, 3), {}),
    'segments': ('TSMHead', (N * S, D, 3, 3), dict(num_segs=S)),
    'none': ('TimeSformerHead', (N, D), {}),
}


def samples(labels):
    return [ActionDataSample().set_gt_label(label) for label in labels]


def toy_head(**options):
    """Logits are the features: K classes of D = K features."""
    head = ActionHead(K, K, 'none', dropout_ratio=0.0, **options)
    torch.nn.init.eye_(head.fc_cls.weight)
    torch.nn.init.zeros_(head.fc_cls.bias)
    return head


def body_head(**body):
    options = dict(label_space='ma52', dropout_ratio=0.0, body=body)
    return ActionHead(SPACE.num_actions, D, 'none', **options).eval()


@pytest.mark.parametrize('pooling', UPSTREAM)
def test_logits_losses_and_scores_are_upstreams(pooling):
    upstream, shape, kwargs = UPSTREAM[pooling]
    for smoothing in (0, 0.1):
        options = dict(average_clips='prob', label_smooth_eps=smoothing)
        cfg = dict(type=upstream, num_classes=K, in_channels=D, **options)
        theirs = MODELS.build(cfg).eval()
        ours = ActionHead(K, D, pooling, **options).eval()
        ours.load_state_dict(theirs.state_dict())  # of GCNHead `fc`, else `fc_cls`
        x = torch.randn(shape)
        torch.testing.assert_close(ours(x, **kwargs), theirs(x, **kwargs))
        losses = [head.loss(x, samples([0, 5, 2]), **kwargs) for head in (ours, theirs)]
        assert losses[0].keys() == {'top1_acc', 'top5_acc', 'loss_cls'}
        torch.testing.assert_close(*losses)
        scored = [
            head.predict(x, samples([0] * N), **kwargs) for head in (ours, theirs)
        ]
        found, expected = ([s.pred_score for s in each] for each in scored)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('pooling', UPSTREAM)
def test_the_classifier_sees_one_feature_per_view(pooling):
    _, shape, kwargs = UPSTREAM[pooling]
    head, seen = ActionHead(K, D, pooling), []
    head.fc_cls.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    head.train()(torch.randn(shape), **kwargs)
    head.predict(torch.randn(shape), samples([0]), **kwargs)
    assert [x.shape for x in seen] == [(N, D), (N, D)]


def test_dropout_of_segments_is_frame_by_frame():
    head = ActionHead(K, 1000, 'segments', num_segments=4, dropout_ratio=0.5).train()
    pooled = head.pool(torch.ones(4, 1000, 1, 1))
    assert set(pooled.unique().tolist()) == {0, 0.5, 1, 1.5, 2}


def test_classifiers_start_small_and_without_outliers():
    head = ActionHead(82, 768, init_std=2e-5, body={})
    head.init_weights()
    for layer in (head.fc_cls, head.fc_body):
        assert layer.weight.std().item() == pytest.approx(2e-5, rel=0.05)
        assert layer.weight.abs().max() < 6 * 2e-5
        assert layer.bias.eq(0).all()


@pytest.mark.parametrize('batch', [1, 3])
def test_smoothed_soft_labels_give_their_cross_entropy(batch):
    head = toy_head(label_smooth_eps=0.1)
    features = torch.randn(batch, K)
    soft = torch.rand(batch, K).softmax(dim=1)
    losses = head.loss(features, samples(soft))
    target = 0.9 * soft + 0.1 / K
    expected = -(target * head(features).log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(losses, {'loss_cls': expected})


def test_hard_labels_report_accuracy():
    for batch in (1, 6):
        losses = toy_head().loss(torch.eye(K)[:batch], samples(range(batch)))
        assert losses['top1_acc'] == 1
        assert losses['loss_cls'].item() == pytest.approx(math.log(math.e + 5) - 1)


def test_views_are_averaged_as_asked():
    views = torch.tensor([[1.0, 2, 0, 0, 0, 0], [3, -1, 0, 0, 0, 0]])
    expected = {
        'prob': views.softmax(dim=1).mean(dim=0),
        'score': views.mean(dim=0).softmax(dim=0),
    }
    for average, scores in expected.items():
        (sample,) = toy_head(average_clips=average).predict(views, samples([0]))
        torch.testing.assert_close(sample.pred_score, scores)
        assert sample.pred_label.tolist() == [0]


def test_body_loss_is_that_of_the_actions_groups():
    head = body_head(loss_weight=0.25)
    x, labels = torch.randn(5, D), [0, 51, 7, 20, 33]
    bodies = torch.tensor([SPACE.body_of[i] for i in labels])
    losses = head.loss(x, samples(labels))
    logits = head.fc_body(x)
    torch.testing.assert_close(
        losses['loss_body'], 0.25 * F.cross_entropy(logits, bodies)
    )
    torch.testing.assert_close(
        losses['loss_cls'], F.cross_entropy(head(x), torch.tensor(labels))
    )
    hits = (logits.argmax(dim=1) == bodies).float().mean()
    assert losses['body_top1_acc'] == hits
    assert {'top1_acc', 'top5_acc'} < losses.keys()


@pytest.mark.parametrize('batch', [1, 2])
def test_shares_of_actions_become_shares_of_groups(batch):
    head = body_head()
    head.label_smooth_eps = 0.1
    x, soft = torch.randn(batch, D), torch.zeros(batch, SPACE.num_actions)
    soft[:, 0], soft[:, 51] = 0.3, 0.7
    first, last = SPACE.body_of[0], SPACE.body_of[51]
    assert first != last
    target = torch.full((batch, SPACE.num_bodies), 0.1 / SPACE.num_bodies)
    target[:, first] += 0.9 * 0.3
    target[:, last] += 0.9 * 0.7
    losses = head.loss(x, samples(soft))
    expected = -(target * head.fc_body(x).log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(losses['loss_body'], expected)
    assert losses.keys() == {'loss_cls', 'loss_body'}


@pytest.mark.parametrize('weight', [0, 0.5, 2])
def test_predicted_scores_are_fused_over_averaged_views(weight):
    head = body_head(fusion_weight=weight)
    x = 3 * torch.randn(2 * N, D)  # two views of each
    found = head.predict(x, samples([0] * N))
    with torch.no_grad():
        actions, bodies = (
            layer(x).softmax(dim=1).view(N, 2, -1).mean(dim=1).numpy()
            for layer in (head.fc_cls, head.fc_body)
        )
    expected = fuse_body_scores(actions, bodies, SPACE.body_of, weight)
    for i, sample in enumerate(found):
        np.testing.assert_allclose(
            sample.pred_score.detach(), expected[i], rtol=2e-5, atol=1e-9
        )
        np.testing.assert_allclose(sample.pred_body_score.detach(), bodies[i], 1e-5)
        assert sample.pred_label == expected[i].argmax()


def test_fusing_tensors_equals_fusing_arrays_also_in_contradictions():
    actions = torch.tensor([[1.0, 0, 0], [0.2, 0.3, 0.5]])
    bodies = torch.tensor([[0.0, 1], [1e-38, 1]])
    body_of = [0, 0, 1]
    fused = fuse_bodies(actions, bodies, torch.tensor(body_of), 1.5)
    expected = fuse_body_scores(actions, bodies, body_of, 1.5)
    np.testing.assert_allclose(fused, expected, rtol=1e-5, atol=1e-30)
    assert fused[0].tolist() == [1, 0, 0]


def test_the_data_override_the_map_and_weights_do_not_hold_it():
    head = body_head()
    assert head.body_of.tolist() == list(SPACE.body_of)
    other = [(b + 1) % SPACE.num_bodies for b in SPACE.body_of]
    meta = dict(classes=SPACE.actions, bodies=SPACE.bodies, body_of=other)
    head.set_classes(meta)
    assert head.body_of.tolist() == other
    assert set(head.state_dict()) == {
        f'fc_{level}.{part}' for level in ('cls', 'body') for part in ('weight', 'bias')
    }


def test_classes_and_bodies_of_checkpoints_are_matched_by_name():
    source, model = (torch.nn.Module() for _ in range(2))
    source.cls_head, model.cls_head = body_head(), body_head()
    meta = {
        'label_space': 'ma52',
        'classes': SPACE.actions[::-1],
        'bodies': SPACE.bodies[::-1],
    }
    checkpoint = {'state_dict': source.state_dict(), 'meta': meta}
    load_trained(model, checkpoint, 'ma52', SPACE.actions, bodies=SPACE.bodies)
    for name in ('fc_cls', 'fc_body'):
        stored = getattr(source.cls_head, name).weight
        assert getattr(model.cls_head, name).weight.equal(stored.flip(0))
    meta['bodies'] = ['tail', *SPACE.bodies[1:]]
    with pytest.raises(ValueError, match=r'scores the body groups tail, .*label space'):
        load_trained(model, checkpoint, 'ma52', SPACE.actions, bodies=SPACE.bodies)


def test_counts_leave_out_withheld_labels():
    assert count_labels([2, 0, -1, 2], 4).tolist() == [1, 0, 2, 0]
    assert count_labels([[2, 0], (), [2]], 4).tolist() == [1, 0, 2, 0]


def test_both_levels_learn_one_batch():
    head = ActionHead(SPACE.num_actions, 8, 'clip', label_space='ma52', body={})
    head.dropout.p = 0
    head.init_weights()
    x, labels = torch.randn(6, 8, 2, 2, 2), [0, 10, 20, 30, 40, 51]
    optimizer = torch.optim.Adam(head.parameters(), lr=0.3)
    totals = []
    for _ in range(40):
        losses = head.loss(x, samples(labels))
        totals.append(losses['loss_cls'] + losses['loss_body'])
        optimizer.zero_grad()
        totals[-1].backward()
        optimizer.step()
    assert totals[-1] < 0.1 * totals[0]
    assert losses['top1_acc'] == losses['body_top1_acc'] == 1
    found = [s.pred_label.item() for s in head.eval().predict(x, samples(labels))]
    assert found == labels


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(pooling='clips'), r"unknown pooling 'clips': .*Did you mean 'clip'"),
        (dict(average_clips=None), 'unknown average_clips None: use one of prob'),
        (dict(body=dict(weight=1)), "unknown option 'weight' in body .*loss_weight"),
        (dict(body=dict(loss_weight=-1)), r'body.loss_weight -1: use a number from 0'),
        (dict(body={}), r'num_classes: the head is built for 6, .* has 82'),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        ActionHead(K, D, **options)


@pytest.mark.parametrize(
    'meta', [dict(classes=['a'] * 82), dict(classes=SPACE.actions, bodies=['b'])]
)
def test_data_of_other_classes_are_refused(meta):
    with pytest.raises(
        ValueError, match=r'the head is built for (52|7), .*label_space'
    ):
        body_head().set_classes(meta)


@pytest.mark.parametrize(
    ('pooling', 'shape', 'message'),
    [
        ('clip', (N, D), r"shape \(3, 4\) do not fit pooling 'clip' .*5 dimensions"),
        ('segments', (12, D, 1, 1), '12 frames are no multiple of num_segments 8'),
    ],
)
def test_features_that_do_not_fit(pooling, shape, message):
    with pytest.raises(ValueError, match=message):
        ActionHead(K, D, pooling)(torch.randn(shape))


NODDING = [0.226475, -0.377459, 0.075492, -0.075492]


def test_size_and_scale_of_the_published_table():
    for space, actions in (('mma82', 82), ('ma52', 52)):
        table = label_vectors(load_label_space(space).actions)
        assert (table.shape, table.dtype) == ((actions, 300), np.float32)
        assert table.std() == pytest.approx(0.28, rel=1e-5)
        norms = np.linalg.norm(table, axis=1)
        assert 2.5 < norms.min() < norms.max() < 7
        assert len(np.unique(table, axis=0)) == actions


def test_the_same_everywhere():
    table = label_vectors(['nodding', 'shaking head'])
    assert table[0, :4].tolist() == pytest.approx(NODDING, abs=1e-6)


def test_names_that_share_words_are_near():
    a, b, c = label_vectors(['touching hair', 'touching nose', 'waving'])
    cosine = np.corrcoef([a, b, c])
    assert cosine[0, 1] > 0.3
    assert abs(cosine[1, 2]) < 0.15


def test_order_and_fillers_change_nothing():
    names = ['nodding', 'waving', 'shrugging']
    np.testing.assert_allclose(label_vectors(names)[::-1], label_vectors(names[::-1]))
    a, b = label_vectors(['scratching or touching neck', 'scratching touching neck'])
    np.testing.assert_array_equal(a, b)


def test_a_name_without_letters_is_refused():
    with pytest.raises(ValueError, match=r"class name '\?!' has no letter"):
        label_vectors(['nodding', '?!'])


SEGMENTS = 2


def make(**kwargs):
    options = dict(num_classes=82, in_channels=6, num_segments=SEGMENTS)
    head = MANetHead(**{**options, 'dropout_ratio': 0.0, 'init_std': 0.1, **kwargs})
    head.init_weights()
    return head


def samples_of(*labels):
    return [ActionDataSample().set_gt_label(torch.as_tensor(y)) for y in labels]


def embedding_loss(head, feats, target):
    frames = feats.mean(dim=(2, 3))
    vectors = F.linear(frames, head.fc_emb.weight, head.fc_emb.bias).tanh()
    vectors = F.linear(vectors, head.fc_emb_t.weight, head.fc_emb_t.bias)
    vectors = (vectors[::2] + vectors[1::2]) / 2  # after tanh: not of the mean frame
    return 50 * ((vectors - target) ** 2).mean()


def test_names_of_weights():
    assert set(make().state_dict()) == {
        f'{layer}.{kind}'
        for layer in ('fc_cls', 'fc_emb', 'fc_emb_t')
        for kind in ('weight', 'bias')
    }


def test_losses_of_indices_and_of_shares():
    head, feats = make(), torch.randn(4, 6, 3, 3)
    losses = head.loss(feats, samples_of([3], [70]))
    table = head.label_vectors
    expected = embedding_loss(head, feats, table[[3, 70]])
    torch.testing.assert_close(losses['loss_embedding'], expected)
    logits = head(feats)
    expected = F.cross_entropy(logits, torch.tensor([3, 70]))
    torch.testing.assert_close(losses['loss_cls'], expected)

    shares = torch.zeros(2, 82)
    shares[0, 3] = shares[1, 5] = 0.75
    shares[0, 70] = shares[1, 70] = 0.25
    losses = head.loss(feats, samples_of(*shares))
    target = 0.75 * table[[3, 5]] + 0.25 * table[70]
    expected = embedding_loss(head, feats, target)
    torch.testing.assert_close(losses['loss_embedding'], expected)


def test_the_first_loss_is_of_the_size_it_was_tuned_for():
    head = make(init_std=0.001)
    losses = head.loss(torch.randn(4, 6, 3, 3), samples_of([3], [70]))
    assert losses['loss_embedding'].item() == pytest.approx(50 * 0.28**2, rel=0.5)


def test_vectors_follow_the_names_of_the_data():
    head = make()
    names = load_label_space().actions
    torch.testing.assert_close(
        head.label_vectors, torch.from_numpy(label_vectors(names))
    )
    head.set_classes({'classes': names[::-1]})
    torch.testing.assert_close(
        head.label_vectors, torch.from_numpy(label_vectors(names[::-1]))
    )


def test_bodies_are_learned_beside():
    losses = make(body={}).loss(torch.randn(4, 6, 3, 3), samples_of([3], [70]))
    assert {'loss_cls', 'loss_body', 'loss_embedding'} <= set(losses)


def test_classes_of_another_number_are_refused():
    assert make(num_classes=52, label_space='ma52').label_vectors.shape == (52, 300)
    with pytest.raises(ValueError, match=r'num_classes: .* built for 52, .* 82'):
        make(num_classes=52)


def test_other_poolings_are_refused():
    with pytest.raises(ValueError, match=r"pooling 'clip': MANetHead takes 'segments'"):
        make(pooling='clip')


PLAIN = {
    'name': 'plain',
    'actions': [{'name': name} for name in ('nod', 'wave', 'clap')],
}


@pytest.mark.parametrize('kind', ['ActionHead', 'MANetHead'])
def test_heads_take_an_own_label_space_and_score_no_groups_where_it_has_none(kind):
    options = dict(num_classes=3, in_channels=4, pooling='segments', num_segments=2)
    build = dict(type=kind, body=dict(), **options)
    head = MODELS.build({**build, 'label_space': PLAIN})
    assert head.fc_body is None
    grouped = [{'name': a['name'], 'body': 'hand'} for a in PLAIN['actions']]
    own = {'name': 'own', 'actions': grouped}
    head = MODELS.build({**build, 'label_space': own})
    assert head.fc_body.out_features == 1
    head.set_classes({'classes': ['nod', 'wave', 'clap'], 'body_of': [0, 0, 0]})
    with pytest.raises(ValueError, match='built for 4, the data or the label space'):
        MODELS.build({**build, 'num_classes': 4, 'label_space': own})
