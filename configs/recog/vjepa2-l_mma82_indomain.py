_base_ = '../_base_/recipes/vjepa2-l.py'
protocol = dict(name='indomain')
