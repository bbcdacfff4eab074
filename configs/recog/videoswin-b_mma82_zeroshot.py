_base_ = 'videoswin-b_mma82_indomain.py'
protocol = dict(_delete_=True, name='zeroshot')
