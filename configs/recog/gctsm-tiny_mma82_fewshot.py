_base_ = '../_base_/recipes/gctsm-tiny.py'
protocol = dict(name='fewshot')
