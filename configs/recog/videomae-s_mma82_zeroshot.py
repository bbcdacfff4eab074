_base_ = 'videomae-s_mma82_indomain.py'
protocol = dict(_delete_=True, name='zeroshot')
