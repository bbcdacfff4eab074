_base_ = '../_base_/recipes/adatad_videomae-b.py'
protocol = dict(name='indomain')
