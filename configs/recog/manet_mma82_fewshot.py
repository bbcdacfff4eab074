_base_ = '../_base_/recipes/manet.py'
protocol = dict(name='fewshot')
