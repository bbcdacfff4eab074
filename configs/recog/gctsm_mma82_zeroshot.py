_base_ = '../_base_/recipes/gctsm.py'
protocol = dict(name='zeroshot')
