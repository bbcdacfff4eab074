_base_ = '../_base_/recipes/videomae.py'
protocol = dict(name='indomain')
