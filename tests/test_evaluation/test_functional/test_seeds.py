import pytest
from scipy import stats

from mmma.evaluation.functional.seeds import spread, t_quantile


@pytest.mark.parametrize('freedom', [1, 2, 3, 4, 9, 30])
@pytest.mark.parametrize('p', [0.5, 0.8, 0.975, 0.999])
def test_quantiles_agree_with_scipy(p, freedom):
    expected = stats.t.ppf(p, freedom)
    assert t_quantile(p, freedom) == pytest.approx(expected, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize(('p', 'freedom'), [(0.4, 2), (1.0, 2), (0.9, 0)])
def test_what_has_no_quantile_is_refused(p, freedom):
    with pytest.raises(ValueError, match='degrees of freedom: use'):
        t_quantile(p, freedom)


def test_spread_by_hand():
    found = spread([10.0, 12.0, 14.0])
    assert (found.n, found.mean, found.sd) == (3, 12.0, 2.0)
    # 4.3027 is the tabulated 97.5 % quantile of t with 2 degrees of freedom.
    assert found.half_width == pytest.approx(4.3027 * 2 / 3**0.5, rel=1e-4)


def test_one_value_has_no_spread():
    found = spread([7.0])
    assert (found.mean, found.sd, found.half_width) == (7.0, None, None)
    with pytest.raises(ValueError, match='no values to average'):
        spread([])
