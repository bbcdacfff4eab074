_base_ = 'videoswin-s_mma82_indomain.py'
protocol = dict(_delete_=True, name='fewshot')
