_base_ = '../_base_/recipes/posec3d.py'
protocol = dict(name='fewshot')
