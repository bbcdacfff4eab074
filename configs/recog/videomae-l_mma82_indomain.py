_base_ = '../_base_/recipes/videomae-l.py'
protocol = dict(name='indomain')
