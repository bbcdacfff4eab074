_base_ = '../_base_/recipes/adatad_videomae-l.py'
protocol = dict(name='indomain')
