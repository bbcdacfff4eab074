_base_ = '../_base_/recipes/videomae-s.py'
protocol = dict(name='fewshot')
