_base_ = '../_base_/recipes/tridet_videomae-s-features.py'
protocol = dict(name='indomain')
