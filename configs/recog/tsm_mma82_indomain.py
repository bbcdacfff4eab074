_base_ = '../_base_/recipes/tsm.py'
protocol = dict(name='indomain')
