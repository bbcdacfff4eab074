_base_ = '../_base_/recipes/adatad_videomae-h.py'
protocol = dict(name='indomain')
