import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmaction.structures import ActionDataSample

from mmma.models.heads.manet_head import MANetHead, label_vectors
from mmma.taxonomy import load_label_space

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
