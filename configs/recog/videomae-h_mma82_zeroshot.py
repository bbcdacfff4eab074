_base_ = '../_base_/recipes/videomae-h.py'
protocol = dict(name='zeroshot')
