_base_ = '../_base_/recipes/skeletondet-tiny.py'
protocol = dict(name='indomain')
