_base_ = '../_base_/recipes/skeletontcn-tiny.py'
protocol = dict(name='fewshot')
