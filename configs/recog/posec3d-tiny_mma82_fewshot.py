_base_ = '../_base_/recipes/posec3d-tiny.py'
protocol = dict(name='fewshot')
