_base_ = '../_base_/recipes/stgcnpp.py'
protocol = dict(name='indomain')
