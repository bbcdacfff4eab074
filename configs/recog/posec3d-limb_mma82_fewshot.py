_base_ = '../_base_/recipes/posec3d-limb.py'
protocol = dict(name='fewshot')
