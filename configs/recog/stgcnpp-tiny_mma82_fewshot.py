_base_ = '../_base_/recipes/stgcnpp-tiny.py'
protocol = dict(name='fewshot')
