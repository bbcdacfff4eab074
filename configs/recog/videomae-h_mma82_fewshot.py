_base_ = 'videomae-h_mma82_indomain.py'
protocol = dict(_delete_=True, name='fewshot')
