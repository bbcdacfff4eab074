_base_ = '../_base_/recipes/adatad_videomae-tiny.py'
protocol = dict(name='indomain')
