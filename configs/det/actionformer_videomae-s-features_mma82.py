_base_ = '../_base_/recipes/actionformer_videomae-s-features.py'
protocol = dict(name='indomain')
