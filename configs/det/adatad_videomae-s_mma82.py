_base_ = '../_base_/recipes/adatad_videomae-s.py'
protocol = dict(name='indomain')
