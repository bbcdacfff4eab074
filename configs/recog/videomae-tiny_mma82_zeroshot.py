_base_ = '../_base_/recipes/videomae-tiny.py'
protocol = dict(name='zeroshot')
